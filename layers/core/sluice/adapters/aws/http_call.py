"""One small HTTP/1.1 request and its whole answer on a keep-alive socket. It has only what a store call needs.

The standard library's client parses headers as if they were mail, which costs more than the rest of the call
(figures in docs/adr/0006-hot-path-client.md). Source: RFC 9112, sections 6.2, 6.3 and 7.1.
"""

import socket
import time
from http.client import BadStatusLine, IncompleteRead

from sluice.adapters.aws.http_pool import Connection, Pool

RECEIVE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 16 * 1024 * 1024
END_OF_HEAD = b"\r\n\r\n"


def exchange(pool: Pool, head: bytes, body: bytes, seconds: float, *, once: bool = False) -> tuple[int, bytes]:
    """One request over a connection of the pool → (status, body). `once`: never sent a second time. Errors: OSError,
    http.client.HTTPException."""
    connection = pool.take(seconds)
    try:
        return _once(pool, connection, head, body, seconds)
    except (ConnectionError, BadStatusLine):
        if once or not connection.used:
            raise
    # The peer closed an idle connection. The service did not fail, so repeat at once on a new connection.
    return _once(pool, pool.take(seconds, fresh=True), head, body, seconds)


def _once(pool: Pool, connection: Connection, head: bytes, body: bytes, seconds: float) -> tuple[int, bytes]:
    again = False
    try:
        assert connection.sock is not None
        status, raw, again = call(connection.sock, head, body, seconds)
    finally:
        if again:
            pool.give_back(connection)
        else:
            connection.close()
    return status, raw


def call(sock: socket.socket, head: bytes, body: bytes, seconds: float) -> tuple[int, bytes, bool]:
    """Send `head` (request line and headers, without `content-length`) and `body`. The answer must be complete after
    `seconds`, even if bytes keep arriving; the socket's own timeout ends a silence.

    → status, body, whether the connection can be reused. Errors: OSError, BadStatusLine (the peer had closed the
    connection), IncompleteRead, ValueError (not HTTP).
    """
    until = time.monotonic() + seconds
    sock.sendall(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
    received = sock.recv(RECEIVE_BYTES)
    if not received:
        raise BadStatusLine("the connection was closed before an answer")
    while (end := received.find(END_OF_HEAD)) < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise ValueError("endless headers")
        received += _more(sock, received, until)
    answer_head, rest = received[: end + 2].lower(), received[end + len(END_OF_HEAD) :]
    status = int(answer_head.partition(b" ")[2][:3])  # ValueError if it is not a status line
    if _header(answer_head, b"transfer-encoding") == b"chunked":
        content = _chunked(sock, rest, until)
    else:
        content = _sized(sock, rest, int(_header(answer_head, b"content-length") or 0), until)
    return status, content, _header(answer_head, b"connection") != b"close"


def _header(head: bytes, name: bytes) -> bytes:
    """Of a head in small letters; empty if it is missing."""
    _, _, rest = head.partition(b"\r\n%s:" % name)
    return rest[: rest.find(b"\r\n")].strip()


def _more(sock: socket.socket, so_far: bytes, until: float) -> bytes:
    if time.monotonic() > until:
        raise TimeoutError("the answer was not complete in time")
    received = sock.recv(RECEIVE_BYTES)
    if not received:
        raise IncompleteRead(so_far)
    return received


def _sized(sock: socket.socket, rest: bytes, length: int, until: float) -> bytes:
    if length > MAX_BODY_BYTES:
        raise ValueError("answer too large")
    while len(rest) < length:
        rest += _more(sock, rest, until)
    return rest[:length]


def _chunked(sock: socket.socket, rest: bytes, until: float) -> bytes:
    content = b""
    while True:
        while b"\r\n" not in rest:
            rest += _more(sock, rest, until)
        size_line, rest = rest.split(b"\r\n", 1)
        size = int(size_line.split(b";")[0], 16)
        if size + len(content) > MAX_BODY_BYTES:
            raise ValueError("answer too large")
        while len(rest) < size + 2:
            rest += _more(sock, rest, until)
        if size == 0:
            return content  # AWS sends no trailers
        content, rest = content + rest[:size], rest[size + 2 :]
