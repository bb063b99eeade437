"""A slow model server: it sends a token at intervals, counted as by the real one, until its caller disconnects."""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.contract.upstream import MODELS
from tests.fakes.upstream import chunk, usage_chunk

PROMPT_TOKENS = 12


@dataclass
class Generation:
    """One request as the engine saw it."""

    made: int = 0
    ended: str = ""  # "done", or "gone" if the caller disconnected


@dataclass
class SlowEngine:
    """Sends `tokens` tokens of `token_bytes`, one every `every_seconds`."""

    every_seconds: float = 0.02
    token_bytes: int = 4
    tokens: int = 400
    generations: list[Generation] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                return

            def do_GET(self) -> None:
                body = json.dumps({"object": "list", "data": MODELS}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                self.close_connection = True
                generation = Generation()
                engine.generations.append(generation)
                with suppress(OSError):
                    engine._generate(self.wfile.write, generation)
                generation.ended = generation.ended or "gone"

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _pause(self) -> None:
        """Before each token."""
        if self.every_seconds:
            time.sleep(self.every_seconds)

    def _generate(self, write: Any, generation: Generation) -> None:
        for number in range(self.tokens):
            self._pause()
            write(b": usage %d %d 0\ndata: %s\n\n" % (PROMPT_TOKENS, number + 1, chunk("x" * self.token_bytes)))
            generation.made = number + 1
        end = (chunk(None, "stop"), usage_chunk(PROMPT_TOKENS, self.tokens), b"[DONE]")
        write(b"".join(b"data: " + payload + b"\n\n" for payload in end))
        generation.ended = "done"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
