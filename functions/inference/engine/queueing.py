"""The bounded queue in front of the slots, fair between accounts.

Each account has a queue of its own. The next request comes from the account with the fewest running requests; among
equals, from the one served longest ago. So a burst of one account delays another account's request by one slot at most.
No account may hold more than half of the places, so that a burst cannot fill the queue for everybody.
"""

from collections import Counter, deque
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the queue needs to know of a request."""

    @property
    def account(self) -> str: ...


W = TypeVar("W", bound=Waiting)


class FairQueue(Generic[W]):
    """Not thread-safe: the engine holds its lock around every call."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._places_per_account = max(1, places // 2)
        self._lines: dict[str, deque[W]] = {}
        self._served_at: dict[str, int] = {}
        self._turn = 0
        self._size = 0

    def __len__(self) -> int:
        """Kept as a number, because other threads read it while the queues change."""
        return self._size

    def offer(self, item: W) -> bool:
        """Append to the account's queue. Returns False when no place is free."""
        if self._size >= self._places or len(self._lines.get(item.account, ())) >= self._places_per_account:
            return False
        self._lines.setdefault(item.account, deque()).append(item)
        self._size += 1
        return True

    def peek(self, running: Counter[str]) -> W | None:
        """The next request, which stays queued. `running`: requests in slots, by account."""
        if not self._lines:
            return None
        return self._lines[self._next_account(running)][0]

    def remove(self, item: W) -> None:
        """Remove a request that got a slot or was ended."""
        line = self._lines[item.account]
        line.remove(item)
        self._size -= 1
        if not line:
            del self._lines[item.account]

    def served(self, item: W) -> None:
        """Note that the account was served."""
        self._turn += 1
        self._served_at[item.account] = self._turn
        if len(self._served_at) > 10_000:  # bounded, because new accounts appear without end
            self._served_at = {name: at for name, at in self._served_at.items() if name in self._lines}

    def items(self) -> list[W]:
        """All waiting requests."""
        return [item for line in self._lines.values() for item in line]

    def _next_account(self, running: Counter[str]) -> str:
        return min(self._lines, key=lambda name: (running[name], self._served_at.get(name, 0)))
