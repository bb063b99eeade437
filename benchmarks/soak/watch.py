"""Memory and descriptors of each process, sampled and judged since it began."""

import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median

from tests.e2e.system import System

EVERY_SECONDS = 2.0
PAGE_KIB = 4
GROWN_MIB, GROWN_SHARE, GROWN_FILES = 24, 0.1, 32
"""How much a process may grow from the second to the last fifth of its time: its memory by GROWN_MIB and a tenth, its
descriptors by GROWN_FILES. Pools of connections and arenas of threads fill up to their bounds; a leak grows on."""


@dataclass(frozen=True)
class Sample:
    at_seconds: float
    rss_mib: float
    files: int


@dataclass(frozen=True)
class Trend:
    """From the median of the second fifth of a process's samples to that of the last one."""

    minutes: float
    first: Sample
    last: Sample
    slope_mib_an_hour: float

    @property
    def flat(self) -> bool:
        grown_mib = self.last.rss_mib - self.first.rss_mib
        return grown_mib <= GROWN_MIB + GROWN_SHARE * self.first.rss_mib and (
            self.last.files - self.first.files <= GROWN_FILES
        )


class Watch(threading.Thread):
    """Samples until `stop`. `trends` are those of the processes that run now, each with its children as one."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self._system, self._over = system, threading.Event()
        self._samples: dict[str, tuple[tuple[int, ...], list[Sample]]] = {}
        self._now = 0.0

    def run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._now += EVERY_SECONDS
            for name, pid in self._system.pids().items():
                self._sample(name, (pid, *children(pid)))
            self._sample_launcher()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def rss_mib(self) -> float:
        return sum(samples[-1].rss_mib for _, samples in self._samples.values())

    def trends(self) -> dict[str, Trend]:
        return {name: trend(samples) for name, (_, samples) in self._samples.items() if len(samples) >= 5}

    def _sample_launcher(self) -> None:
        """make, `sluice up` and supervisord: each the only child of the one before."""
        assert self._system.process is not None
        launcher = children(self._system.process.pid)
        self._sample("launcher", tuple(launcher))
        self._sample("supervisor", tuple(children(launcher[0])))

    def _sample(self, name: str, pids: tuple[int, ...]) -> None:
        """A new process begins a new series."""
        try:
            rss_kib = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB for pid in pids)
            files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
        except OSError:
            return  # it ends just now
        if self._samples.get(name, ((), []))[0] != pids:
            self._samples[name] = (pids, [])
        self._samples[name][1].append(Sample(self._now, rss_kib / 1024, files))


def trend(samples: list[Sample]) -> Trend:
    fifth = len(samples) // 5
    times, sizes = [s.at_seconds for s in samples[fifth:]], [s.rss_mib for s in samples[fifth:]]
    minutes = (samples[-1].at_seconds - samples[0].at_seconds) / 60
    slope = linear_regression(times, sizes).slope * 3600
    return Trend(minutes, _middle(samples[fifth : 2 * fifth]), _middle(samples[-fifth:]), slope)


def children(pid: int) -> list[int]:
    """Of every thread of the process."""
    found = [task.joinpath("children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sorted(int(child) for each in found for child in each)


def _middle(samples: list[Sample]) -> Sample:
    return Sample(samples[0].at_seconds, median(s.rss_mib for s in samples), round(median(s.files for s in samples)))
