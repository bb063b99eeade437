"""Reads one HTTP/1.1 answer as it arrives. It has only what the streamed answer of a model server needs.

The standard library's client is slower, because it parses headers as if they were mail and makes three calls for each
chunk. Source: RFC 9112, sections 4, 6.3 and 7.1.
"""

import math
import time
from http.client import BadStatusLine, HTTPException, IncompleteRead
from typing import Protocol

RECEIVE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
MAX_SIZE_LINE_BYTES = 1_024
MAX_LENGTH_DIGITS = 18
MAX_INTERIM = 8  # answers (100 Continue, 103 Early Hints) before the real one
END_OF_HEAD = b"\r\n\r\n"
UNTIL_CLOSED = -1


class Source(Protocol):
    """A socket, or what bounds how long one is waited for."""

    def recv(self, size: int, /) -> bytes: ...


class Answer:
    """Errors of all: OSError (also TimeoutError), HTTPException (BadStatusLine if no byte was received)."""

    def __init__(self, sock: Source, give_up: float = math.inf) -> None:
        """`give_up`: by the monotonic clock; from then on a peer that sends byte by byte is a TimeoutError. The wait
        for each byte is the socket's own timeout."""
        self._sock = sock
        self.give_up = give_up
        self._buffer = b""
        self._chunked = False
        self._chunk_ends = False  # chunked body: the line break after a chunk's bytes is next
        self._trailers = False  # chunked body: the trailer section is next
        self.ended = False  # the body was read to its end
        for _ in range(MAX_INTERIM):
            self.status, self.headers = self._head()
            if self.status >= 200:
                break
        else:
            raise HTTPException("endless interim answers")
        self._frame()

    @property
    def reusable(self) -> bool:
        """Whether the connection may serve another request."""
        return self.ended and not self._buffer and self._keeps_alive

    def read1(self) -> bytes:
        """The next bytes of the body, as soon as any arrive; b"" at its end."""
        waited = False
        while not self.ended:
            if self._buffer:
                data = self._decoded()
                if data or self.ended:
                    return data
            if waited:
                self._check_time()
            received = self._sock.recv(RECEIVE_BYTES)
            if not received:
                if self._left == UNTIL_CLOSED:
                    self.ended = True
                    return b""
                raise IncompleteRead(self._buffer)
            self._buffer = self._buffer + received if self._buffer else received
            waited = True
        return b""

    def read(self, limit_bytes: int) -> bytes:
        """The whole body. Errors: also HTTPException if it is longer than the limit."""
        parts, size = [], 0
        while not self.ended:
            self._check_time()
            parts.append(self.read1())
            size += len(parts[-1])
            if size > limit_bytes:
                raise HTTPException("the answer is larger than the limit")
        return b"".join(parts)

    def _check_time(self) -> None:
        if time.monotonic() > self.give_up:
            raise TimeoutError

    # --- head

    def _head(self) -> tuple[int, dict[bytes, bytes]]:
        received = self._buffer or self._sock.recv(RECEIVE_BYTES)
        if not received:
            raise BadStatusLine("the connection was closed before an answer")
        while (end := received.find(END_OF_HEAD)) < 0:
            if len(received) > MAX_HEAD_BYTES:
                raise HTTPException("endless headers")
            self._check_time()
            more = self._sock.recv(RECEIVE_BYTES)
            if not more:
                raise IncompleteRead(received)
            received += more
        first, *lines = received[:end].split(b"\r\n")
        self._buffer = received[end + len(END_OF_HEAD) :]
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise HTTPException("no HTTP")
        self._version_keeps_alive = version != b"HTTP/1.0"
        headers = {}
        for line in lines:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        return int(rest[:3]), headers

    def _frame(self) -> None:
        """Find how the end of the body is marked (RFC 9112, section 6.3)."""
        connection = self.headers.get(b"connection", b"").lower()
        self._keeps_alive = self._version_keeps_alive and b"close" not in connection
        coding, length = self.headers.get(b"transfer-encoding"), self.headers.get(b"content-length")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise HTTPException("the answer has a transfer coding other than chunked")
            self._left, self._chunked = 0, True
        elif length is not None:
            if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:
                raise HTTPException("the answer's content-length is not a number")
            self._left = int(length)
            self.ended = self._left == 0
        elif self.status in (204, 304):
            self._left, self.ended = 0, True
        else:
            self._left, self._keeps_alive = UNTIL_CLOSED, False

    # --- body

    def _decoded(self) -> bytes:
        """Take the decoded bytes of the body out of the buffer."""
        if self._chunked:
            return self._whole_chunk() or self._decoded_chunks()
        if self._left == UNTIL_CLOSED:
            data, self._buffer = self._buffer, b""
            return data
        data, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(data)
        self.ended = self._left == 0
        return data

    def _whole_chunk(self) -> bytes:
        """If the buffer is one chunk and nothing else, as mostly: a quarter of the loop's time. Else b""."""
        buffer = self._buffer
        if self._left or self._chunk_ends or self._trailers or not buffer.endswith(b"\r\n"):
            return b""
        end = buffer.find(b"\r\n")
        size = _size(buffer[:end])
        if not size or size != len(buffer) - end - 4:  # 0: the body's end
            return b""
        self._buffer = b""
        return buffer[end + 2 : -2]

    def _decoded_chunks(self) -> bytes:
        buffer, at, parts = self._buffer, 0, []
        while not self.ended:
            if self._left:
                piece = buffer[at : at + self._left]
                parts.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._chunk_ends = True
            end = buffer.find(b"\r\n", at)
            if end < 0:
                if len(buffer) - at > MAX_SIZE_LINE_BYTES:
                    raise HTTPException("a chunk without a size")
                break
            line, at = buffer[at:end], end + 2
            if self._chunk_ends:
                if line:
                    raise HTTPException("a chunk is longer than its size")
                self._chunk_ends = False
            elif self._trailers:
                self.ended = not line
            else:
                self._left = _size(line)
                self._trailers = self._left == 0
        self._buffer = buffer[at:]
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits.isalnum():  # int() would also accept a sign
        raise HTTPException("a chunk without a size")
    try:
        return int(digits, 16)
    except ValueError as exc:
        raise HTTPException("a chunk without a size") from exc
