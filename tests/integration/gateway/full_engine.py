"""A model server with few places: each request holds one until the test lets it go, and others are refused as full."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.contract.upstream import MODELS
from tests.fakes.upstream import chunk, usage_chunk
from tests.waiting import eventually

PING_SECONDS = 0.1
CHAT = (chunk("Pa"), chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))
FULL = {"error": {"message": "All places in the queue are taken.", "code": "overloaded", "retry_after_s": 3}}
MODEL = {**MODELS[0], "capabilities": ["chat", "completions", "embeddings", "rerank"]}


class FullEngine:
    """`places` at once. `let_go()` ends the oldest running request. `let_waits`: how many of the next requests to take
    and then to refuse in their streams, as Sluice's engine does with those that waited too long. `began`: the accounts
    of requests that ran, in order."""

    def __init__(self, places: int = 1) -> None:
        self.places, self.let_waits, self.quick = places, 0, False
        self.began: list[str] = []
        self.refused = 0
        self.running: list[threading.Event] = []
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, account: str) -> tuple[str, threading.Event]:
        go = threading.Event()
        with self._lock:
            if self.let_waits:
                self.let_waits -= 1
                return "late", go
            if len(self.running) >= self.places:
                self.refused += 1
                return "refused", go
            self.running.append(go)
            self.began.append(account)
            if self.quick:
                go.set()
        return "runs", go

    def free(self, go: threading.Event) -> None:
        with self._lock:
            self.running.remove(go)

    def let_go(self) -> None:
        """End the oldest running request, and return when its place is free."""
        oldest = self.running[0]
        oldest.set()
        eventually(lambda: oldest not in self.running)

    def let_all_go(self) -> None:
        """These, and all that come from now on."""
        with self._lock:
            self.quick = True
            for go in self.running:
                go.set()

    def reset(self, places: int) -> None:
        self.let_all_go()
        eventually(lambda: not self.running)
        self.places, self.let_waits, self.refused, self.quick = places, 0, 0, False
        self.began.clear()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 512
    engine: FullEngine


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": [MODEL]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        kind, go = self.server.engine.take(self.headers["x-sluice-account"])
        if kind == "refused":
            return self._answer(503, FULL)
        streams = "embeddings" not in self.path and "rerank" not in self.path
        with suppress(OSError):
            if kind == "late":
                self._head()
                self.wfile.write(b": ping\n\ndata: " + json.dumps(FULL).encode() + b"\n\n")
            elif streams:
                self._stream(go)
            else:
                go.wait()
                self.server.engine.free(go)
                self._answer(200, _vectors())

    def _stream(self, go: threading.Event) -> None:
        try:
            self._head()
            while not go.wait(PING_SECONDS):
                self.wfile.write(b": ping\n\n")
        finally:
            self.server.engine.free(go)
        self.wfile.write(b"".join(b"data: %s\n\n" % one for one in (*CHAT, b"[DONE]")))

    def _head(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _vectors() -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    data = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
    results = [{"index": 0, "relevance_score": 0.5}]
    return {"object": "list", "data": data, "results": results, "model": "demo", "usage": usage}
