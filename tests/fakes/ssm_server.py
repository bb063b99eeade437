"""A parameter store over HTTP, from which a function reads its keys. It knows only `GetParameter`."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def parameters(values: Mapping[str, str]) -> Iterator[str]:
    """Yields its address. It answers a name that is not in `values` as AWS does."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"] == "AmazonSSM.GetParameter"
            assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
            value = values.get(asked["Name"])
            if value is None:
                self._answer(400, {"__type": "ParameterNotFound", "message": asked["Name"]})
            else:
                self._answer(200, {"Parameter": {"Name": asked["Name"], "Value": value, "Version": 1}})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
