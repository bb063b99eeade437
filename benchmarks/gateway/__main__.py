"""`python -m benchmarks.gateway`: the figures of docs/performance.md, in one interleaved run. Linux, two cores."""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.gateway import beside, disk, filled, matrix, parts, report, second_upstream, streams, sweeping
from benchmarks.gateway.requests import Kind, Target
from benchmarks.gateway.world import Cores, World, world
from infra.local.config import ROOT
from infra.setup.store import binary

PLAIN = Kind("plain", stream=False, tokens=8)
STREAM = Kind("stream of 50", stream=True, tokens=50)
TMPFS = Path("/dev/shm")


def main() -> None:
    wanted = _arguments()
    cores = Cores(*sorted(os.sched_getaffinity(0))[:2])
    with world(wanted.store, wanted.database, cores, accounts=160) as running:
        print(report.machine(wanted.database))
        for name in wanted.only:
            PARTS[name](running, wanted)
    if "disk" in wanted.only:
        on_disk(wanted, cores)


def gateway(running: World) -> Target:
    return Target("gateway", "127.0.0.1", running.gateway_port, running.tokens)


def rates(running: World, wanted: argparse.Namespace) -> None:
    targets = [Target("direct", "127.0.0.1", running.upstream_port, ["none"]), gateway(running)]
    if wanted.url:
        parts = urlsplit(wanted.url)
        targets.append(
            Target("other", parts.hostname or "", parts.port or 80, [wanted.key], wanted.model, parts.path.rstrip("/"))
        )
    cells = matrix.run(running, targets, [PLAIN, STREAM], wanted.callers, wanted.seconds, wanted.rounds)
    print(report.rates(cells, running))
    print(report.writes(running.metrics()))


def open_streams(running: World, wanted: argparse.Namespace) -> None:
    seen = streams.run(running, gateway(running), wanted.streams, wanted.slow, wanted.seconds * 2, wanted.rounds)
    print(report.open_streams(seen))


def fresh_beside(running: World, wanted: argparse.Namespace) -> None:
    print(beside.run(running, wanted.senders, wanted.streams, wanted.times))


def full_store(running: World, wanted: argparse.Namespace) -> None:
    """In turns with a second gateway, whose store is full."""
    with world(wanted.store, wanted.database, running.cores, accounts=160) as full:
        took = filled.fill(full, wanted.accounts, wanted.records)
        turns = [
            [matrix.run(one, [gateway(one)], [PLAIN], [1], wanted.seconds, 1)[0] for one in (running, full)]
            for _ in range(wanted.rounds * 2)
        ]
        print(report.full_store(turns, wanted.accounts, wanted.records, took))


def owners_terms(running: World, wanted: argparse.Namespace) -> None:
    """In turns with a second gateway and store, which have the owner's settings and limits of API tokens in force."""
    slices: list[tuple[float, float]] = []
    with world(wanted.store, wanted.database, running.cores, accounts=160, terms=True) as limited:
        worlds = (running, limited)
        for _ in range(wanted.rounds):
            turns = [matrix.run(one, [gateway(one)], [PLAIN], [16], wanted.seconds, 1)[0] for one in worlds]
            slices.append((turns[0].each_us(turns[0].gateway_cpu), turns[1].each_us(turns[1].gateway_cpu)))
        print(report.terms(slices))
        print(report.writes(limited.metrics()))


def cpu_parts(running: World, wanted: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {running.cores.gateway})
    for kind in (PLAIN, STREAM):
        print(report.parts(kind, parts.measure(running, kind, wanted.times)))
    os.sched_setaffinity(0, {running.cores.gateway, running.cores.others})


def upstreams(running: World, wanted: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {running.cores.gateway})
    for kind in (PLAIN, STREAM):
        print(second_upstream.run(running, kind, wanted.times))
    os.sched_setaffinity(0, {running.cores.gateway, running.cores.others})


def dead_processes(running: World, wanted: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {running.cores.gateway})
    print(sweeping.run(running, wanted.abandoned, wanted.rounds))
    os.sched_setaffinity(0, {running.cores.gateway, running.cores.others})


def on_disk(wanted: argparse.Namespace, cores: Cores) -> None:
    with world(wanted.store, wanted.disk, cores, accounts=16) as running:
        print(f"On disk ({wanted.disk}): {disk.fsync_ms(wanted.disk):.2f} ms for a write of 4 KB and its fsync\n")
        targets = [Target("direct", "127.0.0.1", running.upstream_port, ["none"]), gateway(running)]
        print(report.rates(matrix.run(running, targets, [PLAIN], [1, 16], wanted.seconds, wanted.rounds), running))


PARTS = {
    "rates": rates,
    "streams": open_streams,
    "beside": fresh_beside,
    "full": full_store,
    "terms": owners_terms,
    "parts": cpu_parts,
    "upstreams": upstreams,
    "sweep": dead_processes,
    "disk": lambda *_: None,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--store", type=Path, default=binary(ROOT / ".tools"), help="the store's binary")
    parser.add_argument("--database", type=Path, default=TMPFS, help="folder of the store's file (default: tmpfs)")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of a slice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="which measurements")
    parser.add_argument("--streams", type=int, default=500, help="open at once")
    parser.add_argument("--slow", type=int, default=100, help="slow readers among them")
    parser.add_argument("--senders", type=int, default=1000, help="slow senders")
    parser.add_argument("--accounts", type=int, default=100_000, help="of the full store")
    parser.add_argument("--records", type=int, default=1_000_000, help="of the full store's ledger")
    parser.add_argument("--abandoned", type=int, default=2_000, help="accounts of `sweep` with expired leases")
    parser.add_argument("--times", type=int, default=500, help="requests of `parts`, `upstreams` and `beside`")
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()), help="a folder on a disk")
    parser.add_argument("--url", help="another gateway (http) to compare with")
    parser.add_argument("--key", default="")
    parser.add_argument("--model", default="demo")
    wanted = parser.parse_args()
    if not wanted.store.is_file():
        sys.exit(f"the store's binary is missing ({wanted.store}): run `make up`, which installs it, or set --store")
    return wanted


if __name__ == "__main__":
    main()
