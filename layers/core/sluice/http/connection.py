"""The caller's connection under WSGI: whether it still stands, and how long it may keep us waiting."""

import select
import socket
from collections.abc import Callable
from typing import Any

# A caller from whom nothing comes, or who takes nothing, for this long is gone: less than a lease, so that the lease of
# a blocked write never expires.
WAIT_SECONDS = 20.0


def watch(environ: dict[str, Any]) -> Callable[[], bool]:
    """→ `client_gone()`, which looks without waiting. Where the server hides the socket (Lambda), always False."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return lambda: False
    readable = select.poll()
    readable.register(sock.fileno(), select.POLLIN)

    def client_gone() -> bool:
        """A closed connection is readable and has nothing to read; a pipelined request has something."""
        try:
            return bool(readable.poll(0)) and len(sock.recv(1, socket.MSG_PEEK)) == 0
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    return client_gone


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
