"""A cap on what one process serves on `/v1` at once, so that streams never take the account pages' places."""

import threading

from sluice.domain.errors import Overloaded


class Places:
    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def enter(self) -> None:
        """Errors: Overloaded, at once: waiting for a place would itself take one."""
        if not self._free.acquire(blocking=False):
            raise Overloaded("Too many requests are running here at the moment.", retry_after_seconds=1)

    def leave(self) -> None:
        self._free.release()
