"""A model server whose pace a test sets: each answer is sent in pieces, which may wait for an event."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = {"id": "demo", "object": "model", "created": 1, "owned_by": "sluice", "context_window": 8192}
PATIENCE_SECONDS = 120.0
PING_SECONDS = 0.1


class ScriptedModel:
    """`pieces` of the answer to every question; a piece whose gate is closed is held back, with pings meanwhile."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[socket.socket] = []
        self.reset()

    def reset(self) -> None:
        for gate in getattr(self, "gates", {}).values():
            gate.set()
        self.pieces = ["Pa", "ris"]
        self.gates: dict[int, threading.Event] = {}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.ended: list[str] = []  # of each answer: "whole" or "broken off"

    def drop_connections(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def hold_before(self, place: int) -> threading.Event:
        """The piece at this place waits for the event."""
        return self.gates.setdefault(place, threading.Event())


def chunk(text: str | None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}
    return b"data: " + json.dumps({**told, **more}).encode() + b"\n\n"


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self, model: ScriptedModel) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.model.connections.append(self.connection)

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [MODEL]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        model = self.server.model
        ended = model.ended  # of this test: the next one may have begun when this answer ends
        model.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        model.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._tell(model)
            ended.append("whole")
        except OSError:
            ended.append("broken off")
            self.close_connection = True

    def _tell(self, model: ScriptedModel) -> None:
        for place, piece in enumerate(model.pieces):
            self._wait(model.gates.get(place))
            self._block(chunk(piece))
        usage = {"prompt_tokens": 10, "completion_tokens": len(model.pieces)}
        self._block(chunk(None, "stop"))
        self._block(chunk(None, choices=[], usage=usage) + b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _wait(self, gate: threading.Event | None) -> None:
        for _ in range(int(PATIENCE_SECONDS / PING_SECONDS)):
            if gate is None or gate.wait(PING_SECONDS):
                return
            self._block(b": ping\n\n")  # as engines do; a failed ping also shows that the caller is gone

    def _block(self, payload: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload))
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def scripted_model() -> Iterator[ScriptedModel]:
    model = ScriptedModel()
    with _Server(model) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        model.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield model
        finally:
            model.reset()
            server.shutdown()
            thread.join()
