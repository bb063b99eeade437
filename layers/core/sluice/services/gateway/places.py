"""A limit on concurrent `/v1` requests in one process, so that streams leave room for the account pages."""

import threading

from sluice.domain.errors import Overloaded


class Places:
    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def enter(self) -> None:
        """Errors: Overloaded, without waiting, because a waiting request would itself occupy a thread."""
        if not self._free.acquire(blocking=False):
            raise Overloaded("Too many requests are running here at the moment.", retry_after_seconds=1)

    def leave(self) -> None:
        self._free.release()


class Place:
    """One request's place, which it does not have while it waits for its turn."""

    def __init__(self, places: Places) -> None:
        self._places, self._taken = places, False

    def take(self) -> None:
        """If it has none. Errors: as `Places.enter`."""
        if not self._taken:
            self._places.enter()
            self._taken = True

    def leave(self) -> None:
        """If it has one."""
        if self._taken:
            self._taken = False
            self._places.leave()
