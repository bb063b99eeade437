"""What every HTTP server of the tests has: a free port of loopback, a thread, silence, and an end."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        return

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def head(self, status: int, **headers: str | int) -> None:
        """Status and headers, whose names have `_` for `-`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def answer(self, status: int, body: bytes | Mapping[str, Any] = b"", **headers: str | int) -> None:
        """With its length; what is no bytes is JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.head(status, **headers, content_length=len(raw))
        self.wfile.write(raw)

    def begin_events(self) -> None:
        """The head of a stream of events, which ends with its connection."""
        self.head(200, content_type="text/event-stream", connection="close")
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """Serves until `stop()`, or to the end of the `with`. `more`: attributes of each request's handler."""

    daemon_threads, request_queue_size = True, 512

    def __init__(self, handler: type[BaseHTTPRequestHandler], **more: Any) -> None:
        super().__init__(("127.0.0.1", 0), type("OfOne", (handler,), more))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
