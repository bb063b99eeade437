"""Metrics for Prometheus. If PROMETHEUS_MULTIPROC_DIR is set, /metrics shows the sum over all processes of a run.

This module is imported lazily, because prometheus-client reads that variable at import.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from sluice.domain.usage.measures import MEASURES, Measure

PREFIX = "sluice_"
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
LEVEL_FILE = re.compile(r"gauge_live\w*_(\d+)\.db")
FIRST_BYTES, VALUE_BYTES = 1 << 16, 64
"""Of a new file, and of a value beside its name."""


class PrometheusMetrics:
    """`sluice.ports.Metrics`."""

    def __init__(self) -> None:
        if SHARED_FOLDER in os.environ:
            Path(os.environ[SHARED_FOLDER]).mkdir(parents=True, exist_ok=True)
        self._registry = CollectorRegistry()
        self._collectors = {measure.name: self._collector(measure) for measure in MEASURES}
        self._labelled: dict[tuple[str, ...], Any] = {}  # several times faster than the library's own look-up

    # OSError: the disk has no room for labels that are new. Their figures are left out until it has. Not `suppress`,
    # because a request has a dozen measures, and half the time of each would be its.

    def count(self, measure: Measure, amount: int = 1, **labels: str) -> None:
        try:
            self._of(measure, labels).inc(amount)
        except OSError:
            return

    def observe(self, measure: Measure, value: float, **labels: str) -> None:
        try:
            self._of(measure, labels).observe(value)
        except OSError:
            return

    def change(self, measure: Measure, by: int, **labels: str) -> None:
        try:
            self._of(measure, labels).inc(by)
        except OSError:
            return

    def _of(self, measure: Measure, labels: Mapping[str, str]) -> Any:
        """The collector's child for these labels. Two threads that look it up at once get the same child."""
        if not labels:
            return self._collectors[measure.name]
        key = (measure.name, *labels, *labels.values())
        found = self._labelled.get(key)
        if found is None:
            found = self._labelled[key] = self._collectors[measure.name].labels(**labels)
        return found

    def flush(self) -> None:
        """Does nothing, because Prometheus fetches the metrics."""

    def exposition(self, environment: Mapping[str, str] = os.environ) -> bytes:
        """The text of `/metrics`, for all processes that share the folder, or for this one if there is no folder."""
        folder = environment.get(SHARED_FOLDER)
        if not folder:
            return generate_latest(self._registry)
        _forget_the_dead(Path(folder))
        together = CollectorRegistry()
        MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _collector(self, measure: Measure) -> Counter | Histogram | Gauge:
        name, labels = PREFIX + measure.name, measure.labels
        match measure.kind:
            case "count":
                return Counter(name, measure.help, labels, registry=self._registry)
            case "distribution":
                return Histogram(name, measure.help, labels, buckets=measure.bounds, registry=self._registry)
            case "level":
                return Gauge(name, measure.help, labels, registry=self._registry, multiprocess_mode="livesum")


def _forget_the_dead(folder: Path) -> None:
    """Removes the levels of killed processes, because those hold no leases. Their counts stay."""
    for file in folder.glob("gauge_live*.db"):
        found = LEVEL_FILE.fullmatch(file.name)
        if found and not _alive(int(found[1])):
            mark_process_dead(int(found[1]), path=str(folder))  # type: ignore[no-untyped-call]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, but another user's process
        return True
    return True


class _Allocated(MmapedDict):
    """A file that has its blocks before they are written as memory: for a block that a full disk lacks, the kernel
    kills the process (SIGBUS). Raises OSError instead, and leaves no empty file, which the library cannot read."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not os.path.exists(filename):
            draft = Path(filename + ".new")
            try:
                with draft.open("wb") as file:
                    _allocate(file.fileno(), FIRST_BYTES)
                    file.truncate(FIRST_BYTES)
                draft.replace(filename)
            finally:
                draft.unlink(missing_ok=True)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        _allocate(self._f.fileno(), self._used + len(key.encode()) + VALUE_BYTES)
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _allocate(file: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(file, 0, size_bytes)


values.MmapedDict = _Allocated  # type: ignore[attr-defined]
