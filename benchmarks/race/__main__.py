"""`python -m benchmarks.race`: Sluice beside other gateways before the same canned model server, in turns.

Each gateway has keys, limits a minute and a record of each request, and one core; its store has the other. Prints
requests a second, added latency, first byte, CPU, memory, and how many of 100 parallel requests pass a limit of 20 a
minute. Linux, two cores, with nginx and Redis (Debian: `apt install nginx-light redis-server`); LiteLLM is installed
from its lock file.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.gateway import matrix, processes, report, requests
from benchmarks.gateway.matrix import Cell, percentile
from benchmarks.gateway.requests import Kind, Target
from benchmarks.gateway.world import Cores, World, make_accounts, world
from benchmarks.race import racers
from benchmarks.race.racers import Racer
from infra.local.config import ROOT
from infra.setup.store import binary

KINDS = (Kind("plain", stream=False, tokens=8), Kind("stream of 50", stream=True, tokens=50))
LIMIT, AT_ONCE = 20, 100
TMPFS = Path("/dev/shm")


def main() -> None:
    wanted = _arguments()
    if missing := [package for package in ("nginx", "redis-server") if shutil.which(package) is None]:
        sys.exit(f"missing: {', '.join(missing)}. Install them (Debian: apt install nginx-light redis-server)")
    cores = Cores(*sorted(os.sched_getaffinity(0))[:2])
    for place in wanted.stores:
        started: list[subprocess.Popen[bytes]] = []
        with world(wanted.store, place, cores, accounts=160) as running:
            try:
                print(report.machine(place), flush=True)
                _race(running, wanted, started)
            finally:
                for process in reversed(started):
                    processes.stop(process)


def _race(running: World, wanted: argparse.Namespace, started: "list[subprocess.Popen[bytes]]") -> None:
    tokens = make_accounts(running.folder, 2, rpm=LIMIT)
    field = [
        racers.nginx(running, started),
        racers.sluice(running, started, tokens),
        racers.litellm(running, started),
    ]
    print(_overshoot(running, [racer for racer in field if racer.limited]), flush=True)
    direct = Target("direct", "127.0.0.1", running.upstream_port, ["none"])
    watched = {racer.name: (racer.pids(), racer.store_pids()) for racer in field} | {"direct": ([], [])}
    targets = [direct, *(racer.targets[0] for racer in field)]
    cells = matrix.run(running, targets, KINDS, wanted.callers, wanted.seconds, wanted.rounds, watched)
    print(_figures(cells))
    print(_memory(field))


def _overshoot(running: World, field: Sequence[Racer]) -> str:
    """How many of 100 parallel requests pass a limit of 20, through one instance and through two."""
    kind = KINDS[0]
    rows = []
    for racer in field:
        passed = []
        for instances in (1, 2):
            with ThreadPoolExecutor(AT_ONCE) as threads:
                targets = [racer.limited[instances - 1][n % instances] for n in range(AT_ONCE)]
                statuses = list(threads.map(lambda target: requests.send(target, kind), targets))
            passed.append(f"{statuses.count(200)} ({statuses.count(429)} refused)")
        rows.append([racer.name, *passed])
    return report.table(["", f"of {AT_ONCE} at once at a limit of {LIMIT}", "through two instances"], rows) + "\n"


def _figures(cells: Sequence[Cell]) -> str:
    direct = {(cell.kind, cell.callers): cell for cell in cells if cell.target == "direct"}
    mine = {(cell.kind, cell.callers): cell for cell in cells if cell.target == "Sluice"}
    rows = []
    for cell in cells:
        key = cell.kind, cell.callers
        added = [percentile(cell.total, p) - percentile(direct[key].total, p) for p in (0.5, 0.99)]
        rows.append(
            [
                cell.kind,
                str(cell.callers),
                cell.target,
                f"{cell.rate():.0f}",
                f"{mine[key].rate() / cell.rate():.2f}" if cell.answers else "no answer",
                " / ".join(report.ms(each) for each in added),
                report.ms(percentile(cell.first, 0.5)),
                f"{cell.each_us(cell.gateway_cpu):.0f}",
                f"{cell.each_us(cell.store_cpu):.0f}",
            ]
        )
    head = ["", "callers", "", "a second", "Sluice's ÷ this", "added p50 / p99 ms", "first byte p50 ms"]
    return report.table([*head, "CPU µs", "its store's µs"], rows) + "\n"


def _memory(field: Sequence[Racer]) -> str:
    rows = [
        [racer.name, *(f"{_megabytes(pids):.0f}" for pids in (racer.pids(), racer.store_pids()))] for racer in field
    ]
    return report.table(["", "memory MB", "its store's MB"], rows)


def _megabytes(pids: Sequence[int]) -> float:
    return sum(processes.resident_mb(pid) for pid in pids)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=__doc__)
    parser.add_argument("--store", type=Path, default=binary(ROOT / ".tools"), help="the embedded store's program")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=3.0, help="of a slice")
    parser.add_argument("--rounds", type=int, default=5)
    disk = Path(tempfile.gettempdir())
    parser.add_argument("--stores", type=Path, nargs="+", default=[TMPFS, disk], help="folders, one race in each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
