"""The caller's connection under WSGI: whether it is still open, and how long it may keep us waiting."""

import select
import socket
from collections.abc import Callable
from typing import Any

# A caller from whom nothing comes, or who takes nothing, for this long is gone: less than a lease, so that the lease of
# a blocked write never expires.
WAIT_SECONDS = 20.0
ESTABLISHED = b"\x01"  # the first byte of Linux's struct tcp_info


def watch(environ: dict[str, Any]) -> Callable[[], bool]:
    """→ `gone()`, which looks without waiting. Where the server hides the socket (Lambda), always False."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return lambda: False
    if _state(sock) is not None:
        return lambda: _state(sock) != ESTABLISHED
    readable = select.poll()  # not Linux, or no TCP: under gevent ten times the price, at every chunk
    readable.register(sock.fileno(), select.POLLIN)

    def gone() -> bool:
        """A closed connection is readable and has nothing to read; a pipelined request has something."""
        try:
            return bool(readable.poll(0)) and len(sock.recv(1, socket.MSG_PEEK)) == 0
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    return gone


def _state(sock: Any) -> bytes | None:
    """Linux's state of a TCP connection, None where it has none to tell. Anything but ESTABLISHED is an end: the
    caller closed its side (CLOSE_WAIT), or the connection was reset (CLOSE)."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)  # type: ignore[no-any-return]
    except (AttributeError, OSError):
        return None


def limit_waits(environ: dict[str, Any]) -> None:
    """A caller who sends or reads too slowly, or vanished without a word, must not hold a place for ever."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return
    try:
        sock.settimeout(WAIT_SECONDS)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: unacknowledged data fails the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WAIT_SECONDS * 1000))
    except OSError:
        return  # closed already: the next look says so
