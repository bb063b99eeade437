"""What `/metrics` tells of this machine at the moment of the request, beside what the processes count."""

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from infra.local import processes
from infra.local.datadir import LAST_BACKUP
from infra.local.programs import EVERY
from sluice import __version__, settings
from sluice.domain.errors import SluiceError
from sluice.http import health
from sluice.services.operations.health import LATE_MAIL_MS, MAILS_NAMED
from sluice.wiring import peers, stores, upstreams

PREFIX = "sluice_"
PATIENCE_SECONDS = 3.0
FIGURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "info": ("What runs here; always 1.", ("version", "base_url", "mail")),
    "started_timestamp_seconds": ("When `sluice up` began.", ()),
    "part_up": ("Whether the store and the model answer.", ("part",)),
    "model_state": ("The state of each model of the engine; always 1.", ("model", "state")),
    "engine_slots": ("Answers that the loaded models can generate at the same time.", ()),
    "engine_running": ("Answers that are being generated.", ()),
    "engine_waiting": ("Requests that wait for the engine.", ()),
    "engine_decoded_tokens": ("Model tokens that the engine has generated.", ()),
    "late_mails": ("Mails that should have been sent two minutes ago or earlier.", ()),
    "dead_letters": ("Events that failed for good.", ("place",)),
    "disk_free_bytes": ("Room for the data directory.", ()),
    "disk_bytes": ("Size of its disk.", ()),
    "last_backup_timestamp_seconds": ("When the last good backup was made.", ()),
    "process_resident_bytes": ("Memory of each process with its workers.", ("process",)),
}
COUNTED = frozenset({"engine_decoded_tokens"})
Sample = tuple[tuple[str, ...], float]


def exposition() -> bytes:
    """In Prometheus's format. A part that does not answer is left out, and `part_up` says so."""
    return generate_latest(_Now())


class _Now:
    def collect(self) -> Iterator[Any]:
        found: dict[str, list[Sample]] = {}
        for name, labels, value in _all(settings.common().data_dir):
            found.setdefault(name, []).append((labels, value))
        for name, samples in found.items():
            text, names = FIGURES[name]
            family = (CounterMetricFamily if name in COUNTED else GaugeMetricFamily)(PREFIX + name, text, labels=names)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family


def _all(data: Path) -> Iterator[tuple[str, tuple[str, ...], float]]:
    kind = settings.mailer().mail.partition(":")[0]  # an address of a mail server has a password
    yield "info", (__version__, settings.common().base_url, kind), 1
    with suppress(OSError):
        yield "started_timestamp_seconds", (), (data / "run" / "lock").stat().st_mtime
    yield from _parts()
    with suppress(SluiceError):
        for place, count in peers.dead_letters().waiting().items():
            yield "dead_letters", (place,), count
    with suppress(OSError):
        room = shutil.disk_usage(data)
        yield "disk_free_bytes", (), room.free
        yield "disk_bytes", (), room.total
    with suppress(OSError):
        yield "last_backup_timestamp_seconds", (), (data / LAST_BACKUP).stat().st_mtime
    for name, resident in _memory(data / "run", EVERY).items():
        yield "process_resident_bytes", (name,), resident


def _parts() -> Iterator[tuple[str, tuple[str, ...], float]]:
    report, has_store, late = _answers(upstreams.ModelHealth().health, health.store_answers, _late_mails)
    has_model = report is not None and (report["http_status"] == 404 or report.get("status") == "ready")
    yield "part_up", ("model",), has_model
    yield "part_up", ("store",), bool(has_store)
    if late is not None:
        yield "late_mails", (), late
    for model in (report or {}).get("models", ()):
        yield "model_state", (model["id"], model["state"]), 1
    for name in ("slots", "running", "waiting", "decoded_tokens"):
        if report and name in report:
            yield f"engine_{name}", (), report[name]


def _late_mails() -> int:
    return len(stores.mail_store().overdue(time.time_ns() // 1_000_000 - LATE_MAIL_MS, MAILS_NAMED))


def _answers(*questions: Callable[[], Any]) -> list[Any]:
    """Asked at the same time; None for each that failed or takes longer than PATIENCE_SECONDS. A store that hangs
    would be waited for three times as long as Prometheus waits."""
    answers: list[Any] = [None] * len(questions)

    def ask(place: int) -> None:
        with suppress(SluiceError):
            answers[place] = questions[place]()

    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in range(len(questions))]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    return list(answers)


def _memory(run: Path, names: Iterable[str]) -> dict[str, int]:
    """Bytes, by the name of a recorded process, which leads a group. Linux only."""
    leaders = {processes.recorded(run, name): name for name in names}
    found: Counter[str] = Counter()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
            if group in leaders:
                found[leaders[group]] += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return dict(found)
