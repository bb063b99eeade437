"""The caller's connection under WSGI: whether it still stands, and how long a write may block."""

import socket
from collections.abc import Callable
from typing import Any

# A caller who reads nothing for this long is gone: less than a lease, so the lease of a blocked write never expires.
WRITE_SECONDS = 20.0


def watch(environ: dict[str, Any]) -> Callable[[], bool]:
    """→ `client_gone()`, which looks without waiting. Where the server hides the socket (Lambda), always False."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return lambda: False
    _limit_writes(sock)
    raw = getattr(sock, "_sock", sock)  # gevent's recv would wait, whatever the flags
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT

    def client_gone() -> bool:
        try:
            return len(raw.recv(1, flags)) == 0
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    return client_gone


def _limit_writes(sock: Any) -> None:
    """A reader too slow, or a peer that vanished without a word, must not hold a place for ever."""
    try:
        sock.settimeout(WRITE_SECONDS)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: unacknowledged data fails the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WRITE_SECONDS * 1000))
    except OSError:
        return  # closed already: the next look says so
