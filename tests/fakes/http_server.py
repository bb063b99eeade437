"""A server that answers each request by a script: bytes to send, a silence, or what a test does."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

SILENCE = threading.Event
"""A step: send nothing more until the test is over."""
Step = bytes | Callable[[], None] | type[threading.Event]


@dataclass(frozen=True)
class Asked:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """`steps` are those of the next answers; after them the connection is closed."""

    url: str
    steps: Sequence[Step] = ()
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def script(self, *steps: Step) -> None:
        self.steps = steps

    def serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while (asked := _read(connection)) is not None:
                    self.asked.append(asked)
                    if not self._answer(connection):
                        return
            except OSError:
                return

    def _answer(self, connection: socket.socket) -> bool:
        """Whether the connection may serve another request: one step whose length is told."""
        for step in self.steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step is SILENCE:
                self.over.wait(60)
            else:
                step()
        return len(self.steps) == 1 and isinstance(self.steps[0], bytes) and b"content-length:" in self.steps[0]


def _read(connection: socket.socket) -> Asked | None:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := connection.recv(65_536)):
            return None
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    line, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (more := connection.recv(1 << 20)):
            return None
        body += more
    return Asked(line, headers, body)


def answer(body: bytes = b"", status: int = 200, content_type: str = "text/plain", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = ScriptedServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if made.over.is_set():
                    connection.close()
                    return
                threads.append(threading.Thread(target=made.serve, args=(connection,), daemon=True))
                threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield made
        made.over.set()
        socket.create_connection(listener.getsockname()).close()
        accepting.join(10)
