"""`python -m benchmarks.soak`: a running system under load and every disturbance; exit status 1 if a rule is broken.

The first part of the time has all disturbances, each at least once. The rest has no kills and no full disk, so that
the processes live long enough to judge their memory.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path

from benchmarks.soak.disturbances import HARD, SOFT, Scene, disturb
from benchmarks.soak.watch import GROWN_FILES, GROWN_MIB, GROWN_SHARE, Watch
from benchmarks.soak.world import Clock, Disk, enter_mount_namespace
from sluice.domain.usage.ledger import LedgerRecord
from tests.books import (
    Books,
    disagreements,
    each_admitted_request_has_its_one_record,
    reconciled,
    summary,
)
from tests.chaos.load import Load
from tests.e2e import people
from tests.e2e.system import NAMES, ROOT, System

DISK_MIB = 4096
LOGS = ROOT / "build" / "soak"
HARD_SHARE = 0.4
PAUSE_SECONDS = 12.0
SWEEP_SECONDS = 10
SETTLED_SECONDS = 240.0
"""An abandoned lease's lifetime, 90 s more if it was made while the clock was ahead, and some runs of the sweeper."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    enter_mount_namespace()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        data, tools = Path(folder, "disk"), Path(folder)
        data.mkdir()
        disk, clock = Disk(data, DISK_MIB), Clock(tools)
        limits = {"SLUICE_DEFAULT_RPM": "60", "SLUICE_SWEEP_SECONDS": str(SWEEP_SECONDS)}
        system = System(data / "data", limits | clock.environment)
        broken = ["it did not end"]
        try:
            broken = soak(system.start(), disk, clock, options)
        finally:
            system.stop()
            if broken:
                shutil.copytree(system.data_dir / "logs", LOGS, dirs_exist_ok=True)
                print(f"the logs of the processes are in {LOGS}")
            disk.unmount()
    sys.exit(1 if broken else 0)


def soak(system: System, disk: Disk, clock: Clock, options: argparse.Namespace) -> list[str]:
    """The rules that were broken."""
    with ThreadPoolExecutor(4) as pool:
        persons = list(pool.map(lambda _: people.newcomer(system.base_url), range(options.accounts)))
    print(f"{len(persons)} accounts, {options.seconds} s, seed {options.seed}", flush=True)
    load = Load(persons, 1, options.seed, min(PAUSE_SECONDS, options.seconds / 60))
    hold_seconds = min(30.0, max(3.0, options.seconds / 120))
    scene = Scene(system, persons, load, disk, clock, hold_seconds, random.Random(options.seed))
    threading.excepthook = lambda raised: scene.faults.append(
        f"a caller: {raised.exc_type.__name__} {raised.exc_value}"
    )
    watch = Watch(system)
    watch.start()
    load.start()
    try:
        run(scene, watch, options.seconds)
    finally:
        load.stop()
        watch.stop()
    return judged(scene, watch)


def run(scene: Scene, watch: Watch, seconds: float) -> None:
    began, told = time.monotonic(), 0
    gap_seconds = seconds / 120
    left: list[str] = []
    hard = True
    while time.monotonic() - began < seconds or left or not scene.done:
        if not left:
            hard = not scene.done or time.monotonic() - began < HARD_SHARE * seconds
            left = scene.dice.sample(names := [*SOFT, *(HARD if hard else [])], len(names))
        name = left.pop()
        disturb(scene, name)
        time.sleep(scene.dice.uniform(0.5, 1.5) * gap_seconds)
        minute = int((time.monotonic() - began) / 60)
        if minute > told:
            told = minute
            progress(scene, watch, minute, name)
        if not hard and time.monotonic() - began > seconds:
            return


def progress(scene: Scene, watch: Watch, minute: int, name: str) -> None:
    answers = list(scene.load.answers.values())
    counts = Counter(status for one in answers for status in list(one.statuses.values()))
    print(
        f"{minute:3} min: {', '.join(f'{count} x {status}' for status, count in sorted(counts.items()))}, "
        f"{sum(one.silent for one in answers)} silent; {watch.rss_mib():.0f} MiB, disk {scene.disk.used_mib()} MiB, "
        f"load {os.getloadavg()[0]:.1f}; last: {name}; {len(scene.faults)} faults",
        flush=True,
    )


def judged(scene: Scene, watch: Watch) -> list[str]:
    """Prints the table. Returns the rules that were broken."""
    system, broken = scene.system, list(scene.faults)

    def rule(text: str, check: Callable[[], bool | None]) -> None:
        try:
            kept = check() is not False
        except AssertionError as exc:
            kept, text = False, f"{text}: {str(exc)[:3000]}"
        print(f"  {'kept  ' if kept else 'BROKEN'} {text}", flush=True)
        if not kept:
            broken.append(text)

    books = Books(system)
    print("disturbances: " + ", ".join(f"{count} x {name}" for name, count in sorted(scene.done.items())))
    print(f"  {scene.refused_full_disk} requests were refused (503) while the disk was full")
    rule("every process is alive and answers", lambda: system.pids().keys() == set(NAMES) and system.healthy())
    rule(
        "no lease is left",
        lambda: system.wait_until(lambda: not any(g.leases for g in books.grants()), SETTLED_SECONDS),
    )
    rule(
        "every record is in the roll-ups",
        lambda: system.wait_until(lambda: all(r.rolled_up_ms is not None for r in books.ledger()), 120),
    )
    ledger, answers = books.ledger(), list(scene.load.answers.values())
    print(f"  {summary(answers, ledger)}")
    rule(
        "ledger = admitted, usage as the callers saw it",
        lambda: each_admitted_request_has_its_one_record(answers, ledger),
    )
    rule("quotas and roll-ups are the sums of the ledger", lambda: agree(books, ledger))
    rule("reconcile finds 0 differences", lambda: "0 differences" in reconciled(system))
    print(
        f"  bound: {GROWN_MIB} MiB and {GROWN_SHARE:.0%} of memory, {GROWN_FILES} descriptors; since the last restart:"
    )
    for name, one in sorted(watch.trends().items()):
        text = (
            f"{name:10} {one.minutes:5.1f} min: {one.first.rss_mib:6.1f} to {one.last.rss_mib:6.1f} MiB "
            f"({one.slope_mib_an_hour:+.1f} MiB/h), {one.first.files} to {one.last.files} descriptors"
        )
        rule(text, partial(attrgetter("flat"), one))
    for fault in scene.faults:
        print(f"  BROKEN {fault}")
    return broken


def agree(books: Books, ledger: list[LedgerRecord]) -> None:
    """Errors: AssertionError."""
    found = disagreements(ledger, books.grants(), books.rolled_up())
    assert not found, found


if __name__ == "__main__":
    main()
