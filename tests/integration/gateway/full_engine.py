"""A model server with few places: each request holds one until the test lets it go, and others are refused as full."""

import json
import threading
from contextlib import suppress
from typing import Any

from tests.contract.upstream import MODELS
from tests.fakes.upstream import chunk, usage_chunk
from tests.servers import Handler, Server
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
        server = Server(_Requests, engine=self)
        self.url, self.stop = server.url, server.stop

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


class _Requests(Handler):
    engine: FullEngine

    def do_GET(self) -> None:
        self.answer(200, {"object": "list", "data": [MODEL]})

    def do_POST(self) -> None:
        self.body()
        kind, go = self.engine.take(self.headers["x-sluice-account"])
        if kind == "refused":
            return self.answer(503, FULL)
        streams = "embeddings" not in self.path and "rerank" not in self.path
        with suppress(OSError):
            if kind == "late":
                self.begin_events()
                self.wfile.write(b": ping\n\ndata: " + json.dumps(FULL).encode() + b"\n\n")
            elif streams:
                self._stream(go)
            else:
                go.wait()
                self.engine.free(go)
                self.answer(200, _vectors())

    def _stream(self, go: threading.Event) -> None:
        try:
            self.begin_events()
            while not go.wait(PING_SECONDS):
                self.wfile.write(b": ping\n\n")
        finally:
            self.engine.free(go)
        self.wfile.write(b"".join(b"data: %s\n\n" % one for one in (*CHAT, b"[DONE]")))


def _vectors() -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    data = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
    results = [{"index": 0, "relevance_score": 0.5}]
    return {"object": "list", "data": data, "results": results, "model": "demo", "usage": usage}
