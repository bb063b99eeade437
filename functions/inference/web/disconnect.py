"""Detects a closed connection while nothing is written, so that its job can be cancelled."""

import select
import socket
from typing import Any


class Caller:
    """The client's end of the connection. Without a socket (in tests) it is always connected."""

    def __init__(self, environ: dict[str, Any], write_timeout_s: float) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        if self._socket is not None:
            self._socket.settimeout(
                write_timeout_s
            )  # otherwise a client that stops reading would occupy a thread without end

    def gone(self) -> bool:
        """Whether the client closed its side. A half-closed connection counts as closed; no known client uses one."""
        if self._socket is None:
            return False
        try:
            poll = select.poll()  # poll first, because recv would wait for the socket's timeout
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0)) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True
