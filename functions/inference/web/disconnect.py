"""Sees a client go away also while nothing is written to it, so that nobody computes for nobody."""

import select
import socket
from typing import Any


class Caller:
    """The other end of a request's connection; without a socket (tests) it is always there."""

    def __init__(self, environ: dict[str, Any], write_timeout_s: float) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        if self._socket is not None:
            self._socket.settimeout(write_timeout_s)  # a reader that takes nothing must not hold a thread for ever

    def gone(self) -> bool:
        """Whether the client closed its side. A client that only half-closes counts as gone: none here does."""
        if self._socket is None:
            return False
        try:
            poll = select.poll()  # asked first: on a socket with a timeout, recv would wait that long
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0)) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True
