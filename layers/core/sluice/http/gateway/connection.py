"""The caller's connection under WSGI: whether it is still open, and how long a read or write may block."""

import select
import socket
from collections.abc import Callable
from typing import Any

from sluice.domain.errors import Overloaded, RequestTimeout, SluiceError

# A caller who is idle for this long counts as gone. It is shorter than a lease, so none expires in a blocked write.
WAIT_SECONDS = 20.0
ESTABLISHED = b"\x01"  # the first byte of Linux's struct tcp_info


def watch(environ: dict[str, Any]) -> Callable[[], bool]:
    """→ `gone()`, which does not block. It is always False if the server hides the socket (Lambda)."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return lambda: False
    if _state(sock) is not None:
        return lambda: _state(sock) != ESTABLISHED
    readable = select.poll()  # not Linux, or not TCP: under gevent this costs ten times as much for each chunk
    readable.register(sock.fileno(), select.POLLIN)

    def gone() -> bool:
        """A closed connection is readable but returns no bytes; a pipelined request returns some."""
        try:
            return bool(readable.poll(0)) and len(sock.recv(1, socket.MSG_PEEK)) == 0
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    return gone


def _state(sock: Any) -> bytes | None:
    """Linux's state of a TCP connection, or None if unknown. Any state but ESTABLISHED is an end: the caller closed its
    side (CLOSE_WAIT), or the connection was reset (CLOSE)."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)  # type: ignore[no-any-return]
    except (AttributeError, OSError):
        return None


def refusal(environ: dict[str, Any]) -> SluiceError | None:
    """Why the server gives the request without its body. Only the one-machine listener does (infra.local.incoming)."""
    end = getattr(environ.get("wsgi.input"), "refused", None)
    return RequestTimeout() if end is TimeoutError else Overloaded() if end is MemoryError else None


def follow_reader(environ: dict[str, Any]) -> None:
    """Let the answer wait for its reader, so that a stream ends with it. Else the one-machine listener keeps what is
    not yet taken (infra.local.outgoing)."""
    sock: Any = environ.get("gunicorn.socket")
    if hasattr(sock, "most_kept"):
        sock.most_kept = 0


def limit_waits(environ: dict[str, Any]) -> None:
    """Set timeouts, so that a caller who is too slow or has vanished does not hold a place for ever."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return
    try:
        sock.settimeout(WAIT_SECONDS)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: unacknowledged data fails the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WAIT_SECONDS * 1000))
    except OSError:
        return  # closed already; the next check of `gone()` shows it
