"""New requests, each on its own connection, in turns to two equal gateways: one also has 1,000 slow senders, then 500
open streams; the other has nothing else to do. Both meet the same noise; the control line shows how much."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from benchmarks.gateway import processes, report, streams
from benchmarks.gateway.matrix import percentile
from benchmarks.gateway.requests import Target, raw
from benchmarks.gateway.senders import slow_senders
from benchmarks.gateway.world import APP, GUNICORN, World, environment


def run(world: World, senders: int, count: int, turns: int) -> str:
    """A table of milliseconds and ratios. Errors: RuntimeError if a request is not answered with 200."""
    seen: dict[str, Any] = {"opened": {}, "ended": 0}
    held = Target("gateway", "127.0.0.1", world.gateway_port, world.tokens[1:])
    loads: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "nothing (control)": nullcontext,
        f"{senders} slow senders": lambda: slow_senders(world.gateway_port, senders),
        f"{count} open streams": lambda: streams._held(world, held, streams.OPEN, count, seen),
    }
    rows = []
    with _second_gateway(world) as port:
        _alternate(world, port, 50)  # warm-up
        for name, load in loads.items():
            with load():
                beside, alone = _alternate(world, port, turns)
            figures = [(percentile(beside, p), percentile(alone, p)) for p in (0.5, 0.99)]
            cells = [
                f"{busy * 1000:.2f} / {free * 1000:.2f} | {busy / free:.2f}".split(" | ") for busy, free in figures
            ]
            rows.append([name, *cells[0], *cells[1]])
    head = ["beside", "p50 ms / alone", "ratio", "p99 ms / alone", "ratio"]
    return (
        f"{report.table(head, rows)}\n\n{turns} requests each; opened: {seen['opened']}, ended early: {seen['ended']}\n"
    )


@contextmanager
def _second_gateway(world: World) -> Iterator[int]:
    (port,) = processes.free_ports(1)
    env = environment(world.folder, world.upstream_port, port)
    command = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN), APP]
    started = processes.start(command, world.cores.gateway, world.log, env)
    try:
        processes.wait_for_port(port)
        yield port
    finally:
        processes.stop(started)


def _alternate(world: World, second: int, turns: int) -> tuple[list[float], list[float]]:
    took: dict[int, list[float]] = {world.gateway_port: [], second: []}
    for turn in range(turns):
        for port in list(took)[:: 1 if turn % 2 else -1]:
            took[port].append(_ask(port, world.tokens[0]))
    return took[world.gateway_port], took[second]


def _ask(port: int, token: str) -> float:
    """Seconds from connecting to the last byte."""
    request = raw(Target("gateway", "127.0.0.1", port, [token]), streams.FRESH, token)
    request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)
    began, got = time.perf_counter(), b""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(request.encode())
        while piece := client.recv(65_536):
            got += piece
    if not got.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(got[:600])
    return time.perf_counter() - began
