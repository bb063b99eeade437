"""The gate while a store is upgraded: callers get 503 with Retry-After, before the app listens and during its trial."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.domain.errors import Unavailable

if TYPE_CHECKING:
    from flask import Flask

CLOSED = "closed"
"""In `run/`: the gate is closed while this file is there."""
RETRY_SECONDS = 10
"""The official SDKs try twice more, so that by default they bridge 20 seconds."""
MESSAGE = "The service is being upgraded. Try again in a few seconds."
CALLER_SECONDS = 0.5
POLL_SECONDS = 0.1
MOST_BYTES = 1 << 16


def close_if(file: Path, app: "Flask") -> None:
    """Closed until the file goes, if it is there now. A restarted app looks again."""
    if not file.exists():
        return
    closed = [file]

    @app.before_request
    def refuse() -> None:
        from flask import request

        if closed and request.path != "/healthz":
            if closed[0].exists():
                raise Unavailable(MESSAGE, RETRY_SECONDS)
            closed.clear()


@contextmanager
def closed_port(host: str, port: int) -> Iterator[None]:
    """Answer for the app while it does not run: as soon as it leaves the port, and until the block ends."""
    done = threading.Event()
    answering = threading.Thread(target=_answer, args=(host, port, done), daemon=True)
    answering.start()
    try:
        yield
    finally:
        done.set()
        answering.join()


def _answer(host: str, port: int, done: threading.Event) -> None:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    while not done.is_set():
        try:
            listener = socket.create_server(address, family=family)
        except OSError:  # the app has it
            done.wait(POLL_SECONDS)
            continue
        with listener:
            listener.settimeout(POLL_SECONDS)
            while not done.is_set():
                with suppress(OSError):  # also: nobody has called for POLL_SECONDS
                    _refuse(listener.accept()[0])


def _refuse(client: socket.socket) -> None:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    body = json.dumps(
        {"type": "about:blank", "title": status.phrase, "status": status, "detail": MESSAGE, "code": "unavailable"}
    )
    lines = (
        f"HTTP/1.1 {status} {status.phrase}", "Connection: close", "Content-Type: application/problem+json",
        f"Retry-After: {RETRY_SECONDS}", "Cache-Control: private, no-store", f"Content-Length: {len(body)}", "", body,
    )  # fmt: skip
    with client:
        client.settimeout(CALLER_SECONDS)
        client.recv(MOST_BYTES)
        client.sendall("\r\n".join(lines).encode())
        client.shutdown(socket.SHUT_WR)
        client.recv(MOST_BYTES)  # its end, so that the answer is not lost with what was not read
