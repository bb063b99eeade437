"""The parts of Lambda's Runtime API and Extensions API that a streaming function uses.

Amazon's own emulator buffers an answer, so it cannot show whether a function streams; this takes each piece as it is
sent. Source: AWS Lambda developer guide, "Using the Lambda runtime API", "Response streaming", "Extensions
API". The stream of an HTTP answer begins with its status and headers as JSON, then eight zero bytes.
"""

import json
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_SECONDS = 120.0
END_OF_HEAD = b"\0" * 8
ARN = "arn:aws:lambda:us-east-1:123456789012:function:gateway"


class Invocation:
    """One event and the answer to it, piece by piece. `at_end` is called the moment its last piece is there."""

    def __init__(self, event: Any, deadline_seconds: float, at_end: Callable[[], None] | None = None) -> None:
        self.request_id = str(uuid.uuid4())
        self.event = json.dumps(event).encode()
        self.deadline_ms = int((time.time() + deadline_seconds) * 1000)
        self.error = ""
        self._pieces: queue.Queue[bytes | None] = queue.Queue()
        self._received = b""
        self._over = False
        self._connection: socket.socket | None = None
        self._at_end = at_end

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, names in lower case."""
        self.read_until(END_OF_HEAD)
        told = json.loads(self._received.partition(END_OF_HEAD)[0])
        headers = {**told.get("headers", {})}
        headers |= {name: ", ".join(values) for name, values in told.get("multiValueHeaders", {}).items()}
        return int(told["statusCode"]), {name.lower(): value for name, value in headers.items()}

    def read_until(self, text: bytes) -> bytes:
        """Waits until the answer contains `text`. Returns its bytes so far, without reading further."""
        while text not in self._received:
            piece = self._next()
            assert piece is not None, f"the answer ended without {text!r}: {self._received!r} {self.error}"
        return self.body

    def rest(self) -> bytes:
        """Waits for the end of the answer and returns all of it."""
        while self._next() is not None:
            pass
        return self.body

    @property
    def body(self) -> bytes:
        return self._received.partition(END_OF_HEAD)[2]

    def json(self) -> Any:
        return json.loads(self.rest())

    def hang_up(self) -> None:
        """Close the connection on which the function sends its answer."""
        assert self._connection is not None
        self._connection.shutdown(socket.SHUT_RDWR)

    def _next(self) -> bytes | None:
        if self._over:
            return None
        piece = self._pieces.get(timeout=PATIENCE_SECONDS)
        if piece is None:
            self._over = True
        else:
            self._received += piece
        return piece

    # --- the server's side

    def begin(self, connection: socket.socket) -> None:
        self._connection = connection

    def add(self, piece: bytes) -> None:
        self._pieces.put(piece)

    def end(self, error: str = "") -> None:
        self.error = error
        if self._at_end is not None:
            self._at_end()
        self._pieces.put(None)


class RuntimeApi(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting: queue.Queue[Invocation | None] = queue.Queue()
        self.running: dict[str, Invocation] = {}
        self.modes: list[str] = []  # how each answer was sent
        self.extensions: list[str] = []
        self.idle = threading.Event()  # the function asks for its next event
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def invoke(self, event: Any, seconds: float = 900.0, at_end: Callable[[], None] | None = None) -> Invocation:
        """`seconds`: how long the function has for it, as its headers say."""
        assert self.idle.wait(PATIENCE_SECONDS), "the function does not ask for events"
        self.idle.clear()
        made = Invocation(event, seconds, at_end)
        self.waiting.put(made)
        return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RuntimeApi

    def do_GET(self) -> None:
        if self.path.endswith("/extension/event/next"):
            self.server.closing.wait()  # it registered for no event, so none is ever due
            self.close_connection = True
            return
        self.server.idle.set()
        invocation = self.server.waiting.get()
        if invocation is None:
            self.close_connection = True
            return
        self.server.running[invocation.request_id] = invocation
        self._answer(
            200,
            invocation.event,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            },
        )

    def do_POST(self) -> None:
        if self.path.endswith("/extension/register"):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.extensions.append(self.headers["Lambda-Extension-Name"])
            self._answer(200, b"{}", {"Lambda-Extension-Identifier": str(uuid.uuid4())})
            return
        *_, request_id, kind = self.path.split("/")
        invocation = self.server.running[request_id]
        self.server.modes.append(self.headers.get("Lambda-Runtime-Function-Response-Mode", "buffered"))
        invocation.begin(self.connection)
        error = "the answer broke off"
        try:
            whole = b""
            for piece in self._pieces():
                whole += piece
                if kind == "response":
                    invocation.add(piece)
            error = "" if kind == "response" else whole.decode()
            invocation.end(error)
            self._answer(202, b"{}", {})
        except OSError:
            invocation.end(error)
            self.close_connection = True

    def _pieces(self) -> Iterator[bytes]:
        """Errors: OSError where the body breaks off."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while True:
            line = self.rfile.readline()
            if not line.strip():
                raise ConnectionError("no chunk")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while self.rfile.readline().strip():  # trailers
                    pass
                return
            piece = self.rfile.read(size)
            if len(piece) < size:
                raise ConnectionError("half a chunk")
            self.rfile.readline()
            yield piece

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.waiting.put(None)
            server.shutdown()
            thread.join()
