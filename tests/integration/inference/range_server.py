"""A file server for download tests: with or without ranges, which can close connections early."""

import contextlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers import Handler, Server


@dataclass
class FileHost:
    """What the server returns, and the requests it got."""

    content: bytes
    ranges: bool = True
    length: bool = True
    """Whether it says how long a body is."""
    etag: str = '"one"'
    break_after: list[int] = field(default_factory=list)
    """For each of the next requests: close the connection after so many bytes."""
    asked: list[str | None] = field(default_factory=list)
    url: str = ""
    redirect_to: str | None = None
    """Where `/elsewhere` leads."""
    pause: threading.Event | None = None
    """Wait for it in the middle of each body, after `sent_half` was set."""
    sent_half: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(host: FileHost) -> Iterator[FileHost]:
    class Requests(Handler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            if self.path == "/elsewhere":
                return self.head(302, location=host.redirect_to or host.url)
            if self.path != "/model.gguf":
                return self.send_error(404)
            asked = self.headers.get("Range")
            host.asked.append(asked)
            body, start = host.content, 0
            if asked and host.ranges and self.headers.get("If-Range", host.etag) == host.etag:
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])  # type: ignore[index]
                body = body[start:]
                if not body:
                    return self.head(416, content_range=f"bytes */{len(host.content)}")
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(host.content) - 1}/{len(host.content)}")
            else:
                self.send_response(200)
            if host.length:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", host.etag)
            self.end_headers()
            if host.break_after:
                body = body[: host.break_after.pop(0)]
                self.close_connection = True
            half = len(body) // 2
            self.wfile.write(body[:half])
            if host.pause is not None:
                host.sent_half.set()
                host.pause.wait()
            with contextlib.suppress(OSError):  # the client may have been killed
                self.wfile.write(body[half:])

    with Server(Requests) as server:
        host.url = server.url + "/model.gguf"
        yield host
