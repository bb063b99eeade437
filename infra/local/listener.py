"""gunicorn's `gthread` worker, except that a request gets a thread only when it has arrived (ADR 78).

Until then one polling loop holds it, with deadlines and bounds. It speaks HTTP/1 without TLS.
"""

import errno
import json
import select
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from infra.local import outgoing
from infra.local.incoming import PIECE_BYTES, BodyAwaited, Incoming
from infra.local.outgoing import WRITE_SECONDS, Outgoing
from sluice.domain.ids import request_id

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
"""And a second more for each BYTES_A_SECOND that have arrived."""
BYTES_A_SECOND = 16 * 1024
MOST_KEPT_BYTES = 128 * 1024 * 1024
"""Of all answers that clients have not yet taken."""
LINGER_SECONDS = 2.0
"""After a closing answer, so that a client that is still sending can read it (RFC 9112, 9.6)."""
SWEEP_SECONDS = 0.25
LARGE_BYTES = 16 * 1024
MOST_LARGE_BYTES = 128 * 1024 * 1024
"""Of all waiting requests over LARGE_BYTES."""
MOST_RUNNING_BYTES = 256 * 1024 * 1024
"""Of those that threads answer. A network may hold as much of it as is left, so one network alone holds half."""
MOST_STREAMED = 8
"""Large bodies that threads read while they arrive."""
DROPPED_AT_ONCE = 32
LATE_AT_ONCE = 16
"""Threads that answer 408, so that a thousand deadlines at once start no thousand threads."""
AGAIN = object()
STATUS_OF_HEAD = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


class Connection(TConn):  # type: ignore[misc]
    """A client's connection. It waits until `ends_s` (monotonic) for the next bytes, or a thread answers it."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, Outgoing(sock), client, server)
        self.parser, self.initialized = Incoming(cfg, client), True
        self.network = network(client)
        self.ends_s, self.large_bytes, self.running_bytes = 0.0, 0, 0
        self.idle = self.lingering = self.late = self.sending = self.streaming = False
        self.kept_bytes = 0

    def expired(self, now_s: float) -> bool:
        in_body = self.parser.mesg is not None and not self.lingering and not self.sending
        return now_s >= self.ends_s + (self.parser.held_bytes / BYTES_A_SECOND if in_body else 0)


class _Arriving:
    """Waits, in the thread of the app, for more of a body: with the deadline of any other, and a second more for each
    BYTES_A_SECOND that have arrived."""

    def __init__(self, conn: Connection, expects: bool) -> None:
        self._conn, self._expects = conn, expects
        self._ends_s = time.monotonic() + BODY_SECONDS

    def __call__(self) -> bytes:
        """Nothing if the client sends no more, or not in time."""
        sock, arrived = self._conn.sock, self._conn.parser.arrived
        try:
            if self._expects:
                self._expects = False
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            ready = select.poll()
            ready.register(sock, select.POLLIN)
            if not ready.poll(max(0.0, self._ends_s - time.monotonic()) * 1000):
                arrived.end = TimeoutError
                return b""
            piece: bytes = sock.recv(PIECE_BYTES)
        except OSError:
            return b""
        self._ends_s += len(piece) / BYTES_A_SECOND
        return piece


def network(client: Any) -> str:
    """Whom a connection counts for: an IPv4 address, the /64 of an IPv6 address, "" for a Unix socket."""
    address = str(client[0]) if isinstance(client, tuple) else ""
    if ":" not in address or "." in address:
        return address
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8].hex()


class Listener(ThreadWorker):  # type: ignore[misc]
    """`waiting`: the connections without a thread, in the order in which they began to wait."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.large_bytes, self.late, self._swept_s = 0, 0, 0.0
        self.running_bytes: Counter[str] = Counter()
        self.kept_bytes = self.streamed = 0
        self._space = memoryview(bytearray(PIECE_BYTES))

    def accept(self, listener: socket.socket) -> None:
        if self.nr_conns >= self.worker_connections - 1:
            self._relieve(lambda conn: 1, DROPPED_AT_ONCE)
        try:
            sock, client = listener.accept()
        except OSError as exc:  # most of them: the client has gone already
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                self._relieve(lambda conn: 1, DROPPED_AT_ONCE)
            return
        self.nr_conns += 1
        self._wait(Connection(self.cfg, sock, client, listener.getsockname()), HEAD_SECONDS)

    def _wait(self, conn: Connection, seconds: float) -> None:
        self._await(conn, seconds, selectors.EVENT_READ, partial(self._receive, conn))

    def _await(self, conn: Connection, seconds: float, event: int, then: Callable[[Any], None]) -> None:
        conn.ends_s = time.monotonic() + seconds
        self.waiting[conn] = None
        self.poller.register(conn.sock, event, then)

    def _leave(self, conn: Connection) -> None:
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._leave(conn)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        self._count_large(conn, 0)
        self._count_kept(conn, 0)
        conn.close()

    def _start(self, conn: Connection) -> None:
        self._leave(conn)
        self._count_large(conn, 0)
        held = conn.parser.held_bytes
        if conn.parser.failure is None and conn.parser.mesg is not None and conn.parser.streams:
            self._stream(conn)
        elif held > LARGE_BYTES and conn.parser.mesg is not None:
            if self.running_bytes[conn.network] + held > MOST_RUNNING_BYTES - self.running_bytes.total():
                conn.parser.go_without(MemoryError)
            else:
                self._count_running(conn, held)
        self.enqueue_req(conn)

    def _stream(self, conn: Connection) -> None:
        if self.streamed >= MOST_STREAMED:
            conn.parser.go_without(MemoryError)
            return
        conn.streaming = True
        self.streamed += 1
        expects, conn.parser.mesg._expected_100_continue = conn.parser.mesg._expected_100_continue, False
        conn.parser.arrived.more = _Arriving(conn, expects)

    def _count_running(self, conn: Connection, held: int) -> None:
        self.running_bytes[conn.network] += held - conn.running_bytes
        conn.running_bytes = held
        if not self.running_bytes[conn.network]:
            del self.running_bytes[conn.network]

    def _receive(self, conn: Connection, _sock: Any) -> None:
        """Take what has arrived on a waiting connection."""
        if conn not in self.waiting:
            return  # dropped by an earlier event of the same round
        try:
            count = conn.sock.recv_into(self._space)
        except BlockingIOError:
            return
        except OSError:
            return self._drop(conn)
        if conn.lingering or not count:
            return None if count else self._end(conn)
        if conn.idle:
            conn.idle, conn.ends_s = False, time.monotonic() + HEAD_SECONDS
        conn.parser.arrived.data += self._space[:count]
        self._advance(conn)

    def _end(self, conn: Connection) -> None:
        """The client sends no more. It may still read the answer to a request whose body is cut off."""
        if conn.lingering or conn.parser.mesg is None:
            return self._drop(conn)
        conn.parser.go_without(NoMoreData)
        self._start(conn)

    def _advance(self, conn: Connection) -> None:
        had_head = conn.parser.mesg is not None
        if conn.parser.ready():
            return self._start(conn)
        if conn.parser.mesg is not None and not had_head:
            conn.ends_s = time.monotonic() + BODY_SECONDS
        held = conn.parser.held_bytes
        self._count_large(conn, held if held > LARGE_BYTES else 0)
        if self.large_bytes > MOST_LARGE_BYTES:
            self._relieve(lambda conn: conn.large_bytes, 1)

    def _count_large(self, conn: Connection, held: int) -> None:
        self.large_bytes += held - conn.large_bytes
        conn.large_bytes = held

    def _relieve(self, weight: Callable[[Connection], int], count: int) -> None:
        """Drop the oldest waiting connections of the network that weighs most: a fresh one must not suffer from it."""
        networks: Counter[str] = Counter()
        for conn in self.waiting:
            networks[conn.network] += weight(conn)
        heaviest = max(networks, key=networks.__getitem__, default=None)
        found = [conn for conn in self.waiting if conn.network == heaviest and weight(conn)]
        for conn in found[:count]:
            self._drop(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a head that is not HTTP. gunicorn's own answer is HTML that repeats what the client sent."""
        if req is not None or not isinstance(exc, ParseException):
            return super().handle_error(req, client, addr, exc)  # type: ignore[no-any-return]
        status = STATUS_OF_HEAD.get(type(exc), HTTPStatus.BAD_REQUEST)
        problem = {"type": "about:blank", "title": status.phrase, "status": status, "code": "bad_request"}
        problem |= {"detail": "The head of the request is malformed, too large or not supported."}
        problem["request_id"] = name = request_id(time.time_ns() // 1_000_000)
        body = json.dumps(problem)
        lines = (
            f"HTTP/1.1 {status} {status.phrase}", "Connection: close", "Content-Type: application/problem+json",
            "Cache-Control: private, no-store", f"x-request-id: {name}", f"Content-Length: {len(body)}", "", body,
        )  # fmt: skip
        with suppress(OSError):
            client.sendall("\r\n".join(lines).encode())

    def handle(self, conn: Connection) -> Any:
        """In a thread."""
        try:
            return super().handle(conn)
        except BodyAwaited:
            return AGAIN

    def finish_request(self, conn: Connection, future: "Future[Any]") -> None:
        """In the loop, after the thread."""
        self._count_running(conn, 0)
        self.late -= conn.late
        self.streamed -= conn.streaming
        conn.streaming = False
        try:
            outcome = future.result()
            if outcome is AGAIN:
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                conn.parser.ask_for_body()
                self._wait(conn, BODY_SECONDS)
            elif conn.sock.kept:
                self._send_rest(conn, outcome)
            else:
                self._after_answer(conn, outcome)
        except Exception:  # the client has gone, or the thread failed
            self._close(conn)

    def _send_rest(self, conn: Connection, outcome: Any) -> None:
        self._count_kept(conn, len(conn.sock.kept))
        conn.sending = True
        seconds = WRITE_SECONDS + conn.kept_bytes / BYTES_A_SECOND
        self._await(conn, seconds, selectors.EVENT_WRITE, partial(self._send, conn, outcome))
        if self.kept_bytes > MOST_KEPT_BYTES:
            self._relieve(lambda conn: conn.kept_bytes, 1)

    def _send(self, conn: Connection, outcome: Any, _sock: Any) -> None:
        """Send more of an answer that its client takes slowly."""
        if conn not in self.waiting:
            return  # dropped by an earlier event of the same round
        try:
            conn.sock.send_kept()
            self._count_kept(conn, len(conn.sock.kept))
            if not conn.sock.kept:
                self._leave(conn)
                conn.sending = False
                self._after_answer(conn, outcome)
        except OSError:
            if conn in self.waiting:
                self._leave(conn)
            self._close(conn)

    def _count_kept(self, conn: Connection, kept: int) -> None:
        self.kept_bytes += kept - conn.kept_bytes
        conn.kept_bytes = kept

    def _after_answer(self, conn: Connection, keep_alive: Any) -> None:
        if keep_alive:
            return self._next_request(conn)
        conn.sock.shutdown(socket.SHUT_WR)
        conn.lingering = True
        self._wait(conn, LINGER_SECONDS)

    def _next_request(self, conn: Connection) -> None:
        conn.sock.most_kept = outgoing.MOST_KEPT_BYTES
        conn.parser.begin()
        conn.idle = not conn.parser.arrived.data
        rest_s = self.cfg.keepalive if self.alive else min(self.cfg.keepalive, STOP_KEEPALIVE_LINGER)
        self._wait(conn, rest_s if conn.idle else HEAD_SECONDS)
        if not conn.idle:
            self._advance(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """gunicorn calls it at least once a second, and with `force` at the end."""
        now_s = time.monotonic()
        if now_s - self._swept_s < SWEEP_SECONDS and not force:
            return
        self._swept_s = now_s
        for conn in list(self.waiting):
            if force:
                self._drop(conn)
            elif conn.expired(now_s):
                self._expire(conn)

    def _expire(self, conn: Connection) -> None:
        if conn.idle:
            self._receive(conn, conn.sock)  # its next request may have arrived this moment
            if conn.idle and conn in self.waiting:
                self._drop(conn)
        elif conn.parser.mesg is None or conn.lingering or conn.sending:
            self._drop(conn)
        elif self.late < LATE_AT_ONCE:
            self.late += 1
            conn.late = True
            conn.parser.go_without(TimeoutError)
            self._start(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self.waiting:
            if conn.idle:
                conn.ends_s = min(conn.ends_s, deadline)
