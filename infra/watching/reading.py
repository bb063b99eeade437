"""One reading of the running system's `/metrics`."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from infra.local.config import data_dir
from infra.local.datadir import DataDir
from infra.local.gate import CLOSED
from infra.local.holder import Holder
from infra.local.processes import recorded, start_time
from infra.place import UP

SECONDS = 5.0
DIRECT = build_opener(ProxyHandler({}))
Samples = Mapping[str, tuple[tuple[Mapping[str, str], float], ...]]
"""By name: the labels and the value of each."""


class NotUp(Exception):
    """Why there is nothing to read, and what to do, as sentences."""


@dataclass(frozen=True)
class Reading:
    """`at_s`: of a clock that only goes forward."""

    at_s: float
    url: str
    data: Path
    samples: Samples

    def of(self, name: str, **labels: str) -> float | None:
        """The sum of all samples with these labels; None if there is none."""
        found = [value for one, value in self.samples.get(name, ()) if labels.items() <= one.items()]
        return sum(found) if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums by one label."""
        sums: dict[str, float] = {}
        for labels, value in self.samples.get(name, ()):
            sums[labels.get(label, "")] = sums.get(labels.get(label, ""), 0) + value
        return sums

    def label(self, name: str, label: str) -> str:
        return next((labels[label] for labels, _ in self.samples.get(name, ()) if label in labels), "")


def read(env: Mapping[str, str] = os.environ) -> Reading:
    """Errors: NotUp."""
    data = data_dir(env)
    run = DataDir(data).run
    try:
        holder = Holder.read((run / "lock").read_text(errors="replace"))
    except FileNotFoundError:
        holder = None
    except OSError as exc:
        raise NotUp(f"{data} cannot be read: {exc.strerror}. Run this as the user who runs Sluice.") from exc
    if holder and start_time(holder.pid) and (run / CLOSED).exists():
        raise NotUp(f"process {holder.pid} upgrades the store of {data}: calls get 503 until it is healthy on it.")
    # Not by asking for the lock: a start at this moment would take this for another run.
    if holder is None or recorded(run, "supervisor") is None:
        raise NotUp(f"nothing runs on {data}. Start it with `{UP}`, or set SLUICE_DATA_DIR to the folder of a run.")
    url = holder.url
    try:
        with DIRECT.open(f"{url}/metrics", timeout=SECONDS) as answer:
            return Reading(time.monotonic(), url, data, _by_name(answer.read().decode()))
    except HTTPError as exc:
        exc.close()
        loopback = "it is bound to an address of the network, and /metrics answers loopback only"
        why = loopback if exc.code == 404 else f"it answers {exc.code}"
    except URLError as exc:
        why = f"it starts, stops or is overloaded ({exc.reason})"
    except (OSError, ValueError) as exc:
        why = f"it does not answer as it should ({exc})"
    raise NotUp(f"process {holder.pid} runs, and {url}/metrics cannot be read: {why}.")


def _by_name(text: str) -> Samples:
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for name, labels, value in _parsed(text):
        found.setdefault(name, []).append((labels, value))
    return {name: tuple(samples) for name, samples in found.items()}


def _parsed(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, float(sample.value)
