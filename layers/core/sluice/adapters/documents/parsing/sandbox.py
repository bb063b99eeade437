"""One process for each file, without credentials, so that a hostile file hangs or crashes only its own (ADR 71).

The process sets its own limits before it reads a byte (`work.py`). A server that has the parsers forks it, measures the
time and kills its group (`forks.py`); a thread that finds all servers in use starts one more.
"""

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from sluice.domain.documents.document import File, Unreadable
from sluice.domain.documents.passages import Block
from sluice.domain.errors import Unavailable

log = logging.getLogger("sluice.ingestion")

WALL_SECONDS = 60.0
START_SECONDS = 60.0
MOST_OUTPUT_BYTES = 64 * 1024 * 1024
SHOWN_CHARACTERS = 500
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX", "TMPDIR", "COVERAGE_PROCESS_START")


def parse(file: File, body: bytes, wall_seconds: float = WALL_SECONDS) -> Sequence[Block]:
    """Errors: Unreadable, whose message is for the file's owner; Unavailable when no process can be started now."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(body)
        stdin.seek(0)
        status = _run(file.filename, (stdin, stdout, stderr), wall_seconds)
        if status == 0:
            stdout.seek(0)
            return _blocks(stdout.read(MOST_OUTPUT_BYTES))
        stderr.seek(0)
        last_words = stderr.read()[-SHOWN_CHARACTERS:].decode("utf-8", "replace")
        extra = {"file_id": file.file_id, "status": status, "said": last_words}
        log.warning("the parser process failed; see status and said", extra=extra)
    raise Unreadable(_reason(status, wall_seconds))


def _run(filename: str, files: Sequence[IO[bytes]], wall_seconds: float) -> int | None:
    """The exit status; a negative number is the signal that ended the process; None means that it ran too long."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment = kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"}
    while True:
        try:
            server, is_new = _idle.pop(), False
        except IndexError:
            server, is_new = Server(environment), True
        if server.environment != environment:
            server.end()
            continue
        try:
            return server.run(filename, files, wall_seconds)
        except NotBegun as exc:  # one that waited may have ended meanwhile
            if is_new:
                raise Unavailable() from exc


class NotBegun(Exception):
    """The server has ended, or cannot fork."""


class Server:
    """A process that forks one for each file (`forks.py`), and the socket to it. For one thread at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Errors: Unavailable."""
        self.environment = environment
        try:
            self._socket, theirs = socket.socketpair()
            self._lines = self._socket.makefile("rb")
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "sluice.adapters.documents.parsing.forks", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                    pass_fds=[theirs.fileno()],
                )
        except OSError as exc:
            raise Unavailable() from exc

    def run(self, filename: str, files: Sequence[IO[bytes]], wall_seconds: float) -> int | None:
        """Errors: NotBegun."""
        try:
            asked = json.dumps([filename, wall_seconds]).encode()
            self._socket.settimeout(START_SECONDS)
            socket.send_fds(self._socket, [asked], [file.fileno() for file in files])
            pid = int(self._lines.readline().partition(b"began ")[2])
        except (OSError, ValueError) as exc:
            self.end()
            raise NotBegun() from exc
        try:
            self._socket.settimeout(wall_seconds + START_SECONDS)
            status: int | None = json.loads(self._lines.readline())
        except (OSError, ValueError):  # the server was killed
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self.end()
            return -signal.SIGKILL
        _idle.append(self)
        return status

    def end(self) -> None:
        self._lines.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()


_idle: list[Server] = []


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


def _blocks(output: bytes) -> Sequence[Block]:
    try:
        answer: dict[str, Any] = json.loads(output)
        if "unreadable" in answer:
            raise Unreadable(str(answer["unreadable"]))
        return [Block(int(level), str(text)) for level, text in answer["blocks"]]
    except (ValueError, LookupError, TypeError) as exc:
        raise Unreadable("The file could not be read.") from exc


def _reason(status: int | None, wall_seconds: float) -> str:
    if status is None or status == -signal.SIGXCPU:
        return f"Reading the file took longer than {wall_seconds:.0f} seconds."
    if status == -signal.SIGXFSZ:
        return "The file holds too much text."
    return "The file could not be read: its parser ended unexpectedly."
