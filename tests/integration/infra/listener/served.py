"""The small app under the gunicorn of a local run, and clients that write to it byte by byte."""

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).parents[4]
CONFIG = ROOT / "infra" / "local" / "gunicorn.conf.py"
APP = "tests.integration.infra.listener.app:create_app()"
QUICK = {"HEAD_SECONDS": 2.0, "BODY_SECONDS": 1.0, "MOST_LARGE_BYTES": 1024 * 1024}
"""The listener's constants, smaller, so that a test ends soon."""
PATIENT = {"HEAD_SECONDS": 120.0, "BODY_SECONDS": 120.0, "LINGER_SECONDS": 60.0}
"""Larger, so that no deadline ends what a busy machine sends late."""
CLIENT_SECONDS = 60.0


@dataclass
class Served:
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def open(self, *parts: bytes, source: str = "127.0.0.1") -> "Client":
        client = Client(socket.create_connection(("127.0.0.1", self.port), CLIENT_SECONDS, (source, 0)))
        for part in parts:
            client.sock.sendall(part)
        return client

    def fresh(self) -> bytes:
        with self.open(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
            return client.rest()

    def threads(self) -> int:
        """Of the worker."""
        return len(list((self._worker / "task").iterdir()))

    def sockets(self) -> int:
        """The worker's open ones."""
        found = 0
        for file in (self._worker / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found += os.readlink(file).startswith("socket:")
        return found

    @property
    def _worker(self) -> Path:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return Path("/proc", children[0])


@dataclass
class Client:
    sock: socket.socket

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def rest(self) -> bytes:
        """Everything until the server closes."""
        got = b""
        while piece := self.sock.recv(65536):
            got += piece
        return got

    def until(self, end: bytes) -> bytes:
        got = b""
        while end not in got:
            got += self._more(got)
        return got

    def answer(self) -> bytes:
        """One answer of known length."""
        got = self.until(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", got, re.IGNORECASE)
        whole = got.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
        while len(got) < whole:
            got += self._more(got)
        assert len(got) == whole, got
        return got

    def _more(self, got: bytes) -> bytes:
        piece = self.sock.recv(1)
        assert piece, f"closed after {got!r}"
        return piece

    def drip(self, byte: bytes = b"a") -> bytes:
        """Send a byte ten times a second until the server answers or closes; → what it sent, also if it had closed
        before the last byte."""
        until = time.monotonic() + CLIENT_SECONDS
        while time.monotonic() < until:
            with suppress(ConnectionError):
                self.sock.sendall(byte)
            if select.select([self.sock], [], [], 0.1)[0]:
                return self._left()
        raise AssertionError("no deadline ended it")

    def _left(self) -> bytes:
        """What has come, and what comes until the server closes, in whatever way."""
        got = b""
        with suppress(ConnectionError):
            while piece := self.sock.recv(65536):
                got += piece
        return got


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.05)


@contextmanager
def served(folder: Path, constants: dict[str, float], *lines: str, **settings: float) -> Iterator[Served]:
    """`constants` of infra.local.listener and `settings` of gunicorn replace those of a local run; `lines` come
    before it."""
    port, config, log = free_port(), folder / "gunicorn.conf.py", folder / "log"
    written = [*lines, f"exec(open({str(CONFIG)!r}).read())", "from infra.local import listener"]
    written += [f"listener.{name} = {value}" for name, value in constants.items()]
    written += [f"{name} = {value}" for name, value in settings.items()]
    config.write_text("\n".join(written))
    command = [sys.executable, "-m", "gunicorn", "--config", str(config), APP]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLUICE_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env={**own, "PORT": str(port)}, stdout=out, stderr=out)
        try:
            wait_for(port, process, log)
            yield Served(port, process, log)
        finally:
            process.terminate()
            process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()
