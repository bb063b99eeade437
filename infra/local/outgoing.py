"""A client's socket that takes a whole answer at once, so that no thread waits for a client that reads slowly."""

import errno
import select
import socket
import time
from typing import Any

from sluice.http.gateway.connection import WAIT_SECONDS

MOST_KEPT_BYTES = 1024 * 1024
WRITE_SECONDS = WAIT_SECONDS
PIECE_BYTES = 64 * 1024


class Outgoing(socket.socket):
    """It never blocks. What the client has not taken is `kept`, up to `most_kept` bytes, and the listener's loop sends
    it. Only what is more than that waits, and a stream (`most_kept` 0), which must learn that its reader has gone."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        super().settimeout(0)
        self.kept = bytearray()
        self.most_kept = MOST_KEPT_BYTES

    def setblocking(self, flag: bool) -> None:
        """gunicorn makes the sockets of its threads blocking. This one stays as it is."""

    def settimeout(self, value: float | None) -> None:
        """As `setblocking`."""

    def send_kept(self) -> None:
        """Errors: OSError."""
        try:
            del self.kept[: self.send(self.kept)]
        except BlockingIOError:
            return

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Errors: OSError; ConnectionResetError also if the client does not take in time what cannot be kept."""
        self.kept += data
        self.send_kept()
        if len(self.kept) > self.most_kept:
            self._wait(time.monotonic() + WRITE_SECONDS)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        file.seek(offset)
        sent = 0
        while piece := file.read(PIECE_BYTES if count is None else min(PIECE_BYTES, count - sent)):
            self.sendall(piece)
            sent += len(piece)
        return sent

    def _wait(self, until_s: float) -> None:
        ready = select.poll()
        ready.register(self, select.POLLOUT)
        while self.kept:
            if not ready.poll(max(0.0, until_s - time.monotonic()) * 1000):
                raise ConnectionResetError(errno.ECONNRESET, "the client does not read")
            self.send_kept()
