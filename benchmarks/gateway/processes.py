"""The processes of a run: starts them on a given core, reads their CPU and memory from /proc, stops them by pid."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def start(
    command: Iterable[str], core: int | None, log: Path, environment: Mapping[str, str] = os.environ, **pipes: Any
) -> "subprocess.Popen[bytes]":
    """Start a process on `core` (None: any). Its children inherit the core."""

    def pin() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    out = log.open("ab")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": out, **pipes}
    return subprocess.Popen(list(command), env=dict(environment), stderr=out, preexec_fn=pin, **pipes)


def stop(process: "subprocess.Popen[bytes]", patience_seconds: float = 8.0) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of all threads, user and system: from the scheduler's clock, else from ticks."""
    return sum(_cpu_of(pid) for pid in pids)


def _cpu_of(pid: int) -> float:
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def resident_mb(pid: int) -> float:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def load(plan: Mapping[str, Any], core: int | None, log: Path) -> dict[str, Any]:
    """Run the load of one slice and return its results. Raises RuntimeError."""
    process = start_load(plan, core, log)
    out, _ = process.communicate(timeout=float(plan["seconds"]) + 60)
    if process.returncode:
        raise RuntimeError(f"the load failed, see {log}")
    return dict(json.loads(out.splitlines()[-1]))


def start_load(plan: Mapping[str, Any], core: int | None, log: Path) -> "subprocess.Popen[bytes]":
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = start([sys.executable, "-ISs", str(HERE / "load.py")], core, log, **pipes)
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan).encode() + b"\n")
    process.stdin.flush()
    return process


def wait_for_port(port: int, seconds: float = 20.0, poll_seconds: float = 0.05) -> None:
    wait_for(lambda: socket.create_connection(("127.0.0.1", port), 1.0), seconds, poll_seconds)


def wait_for(connect: Callable[[], socket.socket], seconds: float = 20.0, poll_seconds: float = 0.05) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            connect().close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(poll_seconds)
