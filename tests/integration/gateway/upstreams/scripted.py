"""A model server that sends exactly the bytes that a test gives it, over TCP."""

import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.upstream import chunk, usage_chunk

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"
Part = bytes | float | threading.Event
"""Bytes to send; seconds to wait, unless the server is stopped; or an event to wait for."""


def event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def stream(*payloads: bytes, done: bytes = DONE) -> bytes:
    """A whole streamed answer; its end is the end of the connection."""
    return STREAM + b"".join(map(event, payloads)) + done


def whole(status: str, body: Any, *headers: str) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(raw)}"))
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + raw


PARIS = (chunk("Pa"), chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))
VECTORS = {
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """`script`: what it sends to a POST, `by_path` to one of a path of its own; `listed`: to a GET. `asked`: the POSTs
    that came."""

    script: Iterable[Part] = (stream(*PARIS),)
    by_path: dict[str, Iterable[Part]] = field(default_factory=dict)
    listed: bytes = field(default_factory=lambda: whole("404 Not Found", {}))
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/v1"

    def stop(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):  # the gateway may hang up
            asked = _read(connection)
            if asked.method == "GET":
                connection.sendall(self.listed)
                return
            self.asked.append(asked)
            for part in self.by_path.get(asked.path, self.script):
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif isinstance(part, float):
                    self._over.wait(part)
                else:
                    part.wait(20)
                if self._over.is_set():
                    return


def _read(connection: socket.socket) -> Asked:
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65_536)
        if not more:
            raise ValueError("no request")
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    method, path, _ = first.split(" ")
    return Asked(method, path, headers, body)
