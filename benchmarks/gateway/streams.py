"""The latency of a new request, with and without hundreds of open streams and slow readers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.gateway import processes, requests
from benchmarks.gateway.requests import Kind, Target
from benchmarks.gateway.world import CALLERS_AN_ACCOUNT, World

# A token every half second, as a batching engine gives to each of so many streams.
OPEN = Kind("open stream", stream=True, tokens=4000, pause_ms=500)
# 800 KB at once, so that the socket buffers are full and the gateway must wait for the reader.
SLOW = Kind("slow reader", stream=True, tokens=800, text_bytes=1000)
SIP = {"read_bytes": 4096, "read_pause": 1.0}
FRESH = Kind("fresh", stream=False, tokens=8)


def run(world: World, target: Target, streams: int, slow: int, seconds: float, rounds: int) -> dict[str, Any]:
    """The latencies of new requests by state, the results of the open streams, and the worker's memory in MB."""
    seen: dict[str, Any] = {"unloaded": [], "loaded": [], "opened": {}, "ended": 0, "resident_mb": 0.0}
    held = Target(target.name, target.host, target.port, target.keys[1:])  # the new request has a separate account
    for _ in range(rounds):
        seen["unloaded"] += _fresh(world, target, seconds)
        with _held(world, held, OPEN, streams, seen), _held(world, held, SLOW, slow, seen, **SIP):
            seen["loaded"] += _fresh(world, target, seconds)
            seen["resident_mb"] = max(seen["resident_mb"], processes.resident_mb(world.worker))
    return seen


def _fresh(world: World, target: Target, seconds: float) -> list[float]:
    plan = requests.plan(target, FRESH, 1, CALLERS_AN_ACCOUNT, seconds=seconds)
    return list(processes.load(plan, world.cores.others, world.log)["total"])


@contextmanager
def _held(world: World, target: Target, kind: Kind, count: int, seen: dict[str, Any], **more: object) -> Iterator[None]:
    """`count` streams are open inside the context."""
    if not count:
        yield
        return
    plan = requests.plan(target, kind, count, CALLERS_AN_ACCOUNT, seconds=0, hold=True, **more)
    process = processes.start_load(plan, world.cores.others, world.log)
    assert process.stdin is not None and process.stdout is not None
    try:
        for status, number in json.loads(process.stdout.readline())["open"].items():
            key = f"{kind.name} {status}"
            seen["opened"][key] = seen["opened"].get(key, 0) + number
        yield
    finally:
        process.stdin.write(b"end\n")
        process.stdin.close()
        seen["ended"] += json.loads(process.stdout.readline())["ended"]
        process.wait(30)
