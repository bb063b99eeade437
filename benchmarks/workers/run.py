"""Compares our listener, gunicorn's gthread and gevent workers and waitress, interleaved: 1,000 slow senders, then 500
open streams, 100 of them read slowly. Waitress takes part if it is installed.

python -m benchmarks.workers.run [--senders 1000] [--streams 500] [--slow 100] [--rounds 2] [--only KIND…]

Prints for each: CPU of a request; p50 and p99 of new requests (on new connections) alone, beside the senders, while all
streams run, and with logins' password hashes; memory of the worker; its CPU per relayed chunk; complete streams.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gateway import processes
from benchmarks.gateway.matrix import percentile
from benchmarks.gateway.senders import slow_senders
from infra.local.config import ROOT

HERE = Path(__file__).parent
STREAM_SECONDS = 20
GUNICORN = [
    "-m",
    "gunicorn",
    "--no-control-socket",
    "--backlog",
    "2048",
    "--timeout",
    "60",
    "--log-level",
    "error",
    "app:app",
]
GTHREAD = [*GUNICORN, "--threads", "700", "--worker-connections", "4000", "--worker-class"]
GEVENT = [*GUNICORN, "--worker-class", "gevent", "--worker-connections", "4000"]
KINDS = {
    "listener": [*GTHREAD, "infra.local.listener.Listener"],
    "gthread": [*GTHREAD, "gthread"],
    "gevent": GEVENT,
    "gevent+pool": GEVENT,
    "waitress": ["-m", "waitress", "--threads", "700", "--connection-limit", "4000", "app:app"],
}


class Streams:
    """All streams in one polling thread, so that the client uses little CPU."""

    def __init__(self, port: int, count: int, slow: int) -> None:
        import selectors

        self.selector, self.whole, self.bytes_read, self.opened = selectors.DefaultSelector(), 0, 0, count
        self.left = count
        request = b"POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        for number in range(count):
            connection = socket.socket()
            if number < slow:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(("127.0.0.1", port))
            connection.sendall(request)
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, [number < slow, 0.0, b""])

    def run(self, until: float) -> None:
        while self.left and time.monotonic() < until:
            ready = self.selector.select(0.05)
            pause = True
            for key, _ in ready:
                slow, not_before, tail = key.data
                now = time.monotonic()
                if slow and now < not_before:
                    continue
                pause = False
                try:
                    data = key.fileobj.recv(100 if slow else 65536)  # type: ignore[union-attr]
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    self.whole += b"[DONE]" in tail
                    self.left -= 1
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    continue
                self.bytes_read += len(data)
                key.data[1] = now + 0.25
                key.data[2] = (tail + data)[-40:]
            if pause:
                time.sleep(0.005)


def fresh_requests(port: int, path: str, seconds: float) -> list[float]:
    """Milliseconds of sequential requests, each on a new connection. One that is not answered counts its 10 s."""
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.settimeout(10)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            while connection.recv(4096):
                pass
        took.append((time.monotonic() - began) * 1000)
        time.sleep(0.02)
    return took


def logins(port: int, stop: threading.Event) -> None:
    """Log in again and again until `stop`."""
    while not stop.is_set():
        fresh_requests(port, "/page?hash=1", 0.1)


def measure(kind: str, upstream_port: int, senders: int, streams: int, slow: int) -> str:
    (port,) = processes.free_ports(1)
    env = dict(
        os.environ, UPSTREAM_PORT=str(upstream_port), PYTHONPATH=f"{HERE}:{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    )
    if kind == "gevent+pool":
        env["HASH_IN_POOL"] = "1"
    listen = "--listen" if kind == "waitress" else "--bind"
    command = [sys.executable, *KINDS[kind][:2], f"{listen}=127.0.0.1:{port}", *KINDS[kind][2:]]
    server = subprocess.Popen(command, env=env, cwd=HERE)
    try:
        processes.wait_for_port(port)
        fresh_requests(port, "/page", 0.3)
        (worker,) = processes.children(server.pid) or [server.pid]
        cpu_before = processes.cpu_seconds([worker])
        idle = fresh_requests(port, "/page", 6.0)
        cpu_us = (processes.cpu_seconds([worker]) - cpu_before) / len(idle) * 1e6
        with slow_senders(port, senders):
            beside = fresh_requests(port, "/page", 6.0)
        time.sleep(1)
        cpu_before = processes.cpu_seconds([worker])
        opened = Streams(port, streams, slow)
        thread = threading.Thread(target=opened.run, args=(time.monotonic() + STREAM_SECONDS + 40,))
        thread.start()
        time.sleep(3)
        busy = fresh_requests(port, "/page", 6)
        cpu_half, memory = processes.cpu_seconds([worker]), processes.resident_mb(worker)
        bytes_half = opened.bytes_read
        stop = threading.Event()
        people = [threading.Thread(target=logins, args=(port, stop)) for _ in range(4)]
        for person in people:
            person.start()
        hashing = fresh_requests(port, "/page", 5)
        stop.set()
        for person in people:
            person.join()
        thread.join()
        chunks = bytes_half / 130
        return (
            f"{kind:12} {cpu_us:4.0f} us CPU a request | alone: {_ms(idle)} | {senders} slow senders: {_ms(beside)} | "
            f"{streams} streams: {_ms(busy)} | and 4 logins: {_ms(hashing)} | {memory:5.0f} MiB | "
            f"{(cpu_half - cpu_before) / max(chunks, 1) * 1e6:4.0f} us CPU a chunk | whole {opened.whole}/{streams}"
        )
    finally:
        processes.stop(server, patience_seconds=20)


def _ms(took: list[float]) -> str:
    return f"p50 {percentile(took, 0.5):6.1f} p99 {percentile(took, 0.99):6.1f} ms"


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--senders", type=int, default=1000)
    asked.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    asked.add_argument("--streams", type=int, default=500)
    asked.add_argument("--slow", type=int, default=100)
    asked.add_argument("--rounds", type=int, default=2)
    asked.add_argument("--chunk-ms", type=int, default=500, help="each stream's pause between two chunks")
    wanted = asked.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    (upstream_port,) = processes.free_ports(1)
    command = [sys.executable, str(HERE / "upstream.py"), str(upstream_port)]
    command += [str(STREAM_SECONDS * 1000 // wanted.chunk_ms), str(wanted.chunk_ms)]
    upstream = subprocess.Popen(command)
    try:
        processes.wait_for_port(upstream_port)
        for _ in range(wanted.rounds):
            for kind in wanted.only:
                if kind != "waitress" or find_spec("waitress"):
                    print(measure(kind, upstream_port, wanted.senders, wanted.streams, wanted.slow), flush=True)
    finally:
        processes.stop(upstream)


if __name__ == "__main__":
    main()
