"""What one client has sent of its next request, and whether a thread can begin with it. No socket is touched here."""

import re
from collections.abc import Callable
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    InvalidHeader,
    InvalidHTTPVersion,
    LimitRequestHeaders,
    NoMoreData,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 5 * 1024 * 1024
"""More than any route reads, so that a route refuses a larger body itself, before it arrives."""
STREAMED = re.compile("POST /v1/(files|uploads/[^/]+/parts)")
"""Routes that read a larger body while it arrives, once they know their caller: files of batches, in parts or whole."""
MOST_CHUNK_LINE_BYTES = 8190
MOST_CHUNKS = 4096
"""In one body: each costs 6 µs of CPU, however small it is."""
PIECE_BYTES = 64 * 1024
BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;.*)?\r")


class BodyAwaited(BaseException):
    """The app reads a body that the client sends only after `100 Continue`. No `Exception`: no app may handle it."""


class Arrived(Unreader):  # type: ignore[misc]
    """The bytes that have arrived. gunicorn's parser reads them instead of the socket, so it never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self.end: type[BaseException] = NoMoreData
        self.more: Callable[[], bytes] = bytes
        """Of a body that is read while it arrives: waits for the next bytes."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes. Raises `end` if the parser or the app wants more than there is."""
        if not self.data:
            self.data += self.more()
        if not self.data:
            raise self.end
        piece = bytes(self.data[: min(size_hint or MOST_CHUNK_LINE_BYTES, PIECE_BYTES)])
        del self.data[: len(piece)]
        return piece

    def put_back(self) -> None:
        """Return what the parser read too far."""
        if rest := self.buf.getvalue():
            self.data[:0] = rest
            self.take_buffered()


def head_ends(data: bytearray, start: int) -> bool:
    """Whether the lines from `start` on, a head or trailers, are complete, or wrong so that the parser refuses them."""
    return data.find(b"\r\n\r\n", start) >= 0 or BARE_LINE_FEED.search(data, start) is not None


def check_head(message: Request) -> None:
    """Refuse what gunicorn lets pass: other versions of HTTP, codings before `chunked`, which nothing decodes, and any
    number of `Host` but one (RFC 9112, 3.2).

    Errors: InvalidHTTPVersion, UnsupportedTransferCoding, InvalidHeader."""
    if message.version not in ((1, 0), (1, 1)):
        raise InvalidHTTPVersion(message.version)
    for name, value in message.headers:
        if name == "TRANSFER-ENCODING" and value.strip().lower() != "chunked":
            raise UnsupportedTransferCoding(value)
    hosts = sum(name == "HOST" for name, _ in message.headers)
    if hosts > 1 or (not hosts and message.version == (1, 1)):
        raise InvalidHeader("Host")


class Chunks:
    """Finds the end of a chunked body, reading each byte once."""

    def __init__(self) -> None:
        self.at, self.last = 0, False  # where the next line begins; whether it is behind the last chunk
        self.count = 0

    def ended(self, data: bytearray) -> bool:
        """Whether the body is whole or malformed; the parser refuses malformed ones. Raises InvalidChunkSize."""
        while not self.last and self.at <= len(data):
            end = data.find(b"\n", self.at)
            if end < 0:
                return len(data) - self.at > MOST_CHUNK_LINE_BYTES
            line = CHUNK_LINE.fullmatch(data, self.at, end)
            if line is None:
                return True
            size = int(line[1], 16)
            self.last, self.at = size == 0, end + 1 + (size + 2 if size else 0)
            self.count += 1
            if self.count > MOST_CHUNKS:
                raise InvalidChunkSize(b"more than %d chunks" % MOST_CHUNKS)
        if not self.last:
            return False
        start, self.at = self.at - 2, max(self.at, len(data) - 1)
        return head_ends(data, start)


class Incoming(RequestParser):  # type: ignore[misc]
    """gunicorn's parser of a connection, which knows when it has enough. `next()` never waits."""

    def __init__(self, cfg: Any, client: Any) -> None:
        super().__init__(cfg, (), client)
        self.unreader = self.arrived = Arrived()
        self.begin()

    def begin(self) -> None:
        """Expect the next request. Some of it may have arrived with the last one."""
        self.arrived.put_back()
        self.mesg: Any = None
        self.failure: Exception | None = None
        self._chunks: Chunks | None
        self._searched, self._chunks = 0, None

    @property
    def streams(self) -> bool:
        """Whether the app may read the body while it arrives, although it is large."""
        mesg = self.mesg
        if not STREAMED.fullmatch(f"{mesg.method} {mesg.path}") or not isinstance(mesg.body.reader, LengthReader):
            return False
        return mesg.body.reader.length > MOST_BODY_BYTES and "CONTENT-ENCODING" not in dict(mesg.headers)

    @property
    def held_bytes(self) -> int:
        return len(self.arrived.data)

    def ready(self) -> bool:
        """Whether a thread can begin: the request is whole, must be refused, or is to be asked for its body."""
        if self.mesg is None and self.failure is None and self._head_ended():
            self._parse_head()
        try:
            return self.failure is not None or (self.mesg is not None and self._body_ended())
        except InvalidChunkSize as exc:
            self.failure = exc
            return True

    def _head_ended(self) -> bool:
        searched, self._searched = self._searched, len(self.arrived.data)
        return head_ends(self.arrived.data, max(searched - 3, 0)) or self._searched > MOST_HEAD_BYTES

    def _parse_head(self) -> None:
        self.req_count += 1
        try:
            message = Request(self.cfg, self.arrived, self.source_addr, self.req_count)
            check_head(message)
            self.mesg = message
        except NoMoreData:
            self.failure = LimitRequestHeaders("limit request headers size")
        except Exception as exc:
            self.failure = exc  # the thread answers it, as gunicorn does
        self.arrived.put_back()

    def _body_ended(self) -> bool:
        data, reader = self.arrived.data, self.mesg.body.reader
        by_length = isinstance(reader, LengthReader)
        if not by_length:
            self._chunks = self._chunks or Chunks()
        if len(data) >= reader.length if self._chunks is None else self._chunks.ended(data):
            self.mesg._expected_100_continue = False
            return True
        if self.streams:
            self.mesg.force_close()
            return True
        if (reader.length if by_length else len(data)) > MOST_BODY_BYTES:
            self.go_without(NoMoreData)
            return True
        if self.mesg._expected_100_continue and not data:
            self.go_without(BodyAwaited)
            return True
        return False

    def go_without(self, end: type[BaseException]) -> None:
        """Let the app answer without the whole body; reading on raises `end`. The connection closes afterwards."""
        self.mesg._expected_100_continue = False  # else gunicorn answers it before the app has seen the request
        self.mesg.body.refused = end
        self.mesg.force_close()
        self.arrived.end = end
        if end is MemoryError:
            self.arrived.data.clear()

    def ask_for_body(self) -> None:
        """The app wants the body after all, so the request begins again once it has arrived."""
        self.arrived.end, self.mesg.must_close = NoMoreData, False
        self.mesg.set_body_reader()

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Discard what the app did not read, however much: it has arrived, so gunicorn's bounds on the wait for it
        would only close a connection that the answer has promised to keep."""
        return bool(super().finish_body())

    def __next__(self) -> Any:
        if self.failure is not None:
            raise self.failure
        return self.mesg
