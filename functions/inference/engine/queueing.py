"""The bounded queue in front of the slots, fair between accounts.

Each account has a queue of its own. The next request comes from the account with the fewest running requests; among
equals, from the one served longest ago. So a burst of one account delays another account's request by one slot at most.
No account may hold more than half of the places, so that a burst cannot fill the queue for everybody.

Rows of batches stand in lines of their own, with as many places. They are next only when nothing else waits (ADR 124).
"""

from collections import Counter, deque
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the queue needs to know of a request. `low`: it is a row of a batch."""

    @property
    def account(self) -> str: ...

    @property
    def low(self) -> bool: ...


W = TypeVar("W", bound=Waiting)
Line = tuple[bool, str]
"""Whether it is one of rows, and whose."""


class FairQueue(Generic[W]):
    """Not thread-safe: the engine holds its lock around every call."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._places_per_account = max(1, places // 2)
        self._lines: dict[Line, deque[W]] = {}
        self._served_at: dict[Line, int] = {}
        self._turn = 0
        self._sizes = [0, 0]

    def __len__(self) -> int:
        """Kept as numbers, because other threads read it while the queues change."""
        return sum(self._sizes)

    def offer(self, item: W) -> bool:
        """Append to the account's queue. Returns False when no place is free."""
        line = (item.low, item.account)
        if self._sizes[item.low] >= self._places or len(self._lines.get(line, ())) >= self._places_per_account:
            return False
        self._lines.setdefault(line, deque()).append(item)
        self._sizes[item.low] += 1
        return True

    def peek(self, running: Counter[str], *, low: bool = True) -> W | None:
        """The next request, which stays queued. `running`: requests in slots, by account. `low`: it may be a row."""
        if not self._sizes[False] and not (low and self._sizes[True]):
            return None
        return self._lines[self._next_line(running)][0]

    def remove(self, item: W) -> None:
        """Remove a request that got a slot or was ended."""
        line = self._lines[(item.low, item.account)]
        line.remove(item)
        self._sizes[item.low] -= 1
        if not line:
            del self._lines[(item.low, item.account)]

    def served(self, item: W) -> None:
        """Note that the account was served."""
        self._turn += 1
        self._served_at[(item.low, item.account)] = self._turn
        if len(self._served_at) > 10_000:  # bounded, because new accounts appear without end
            self._served_at = {line: at for line, at in self._served_at.items() if line in self._lines}

    def items(self) -> list[W]:
        """All waiting requests."""
        return [item for line in self._lines.values() for item in line]

    def _next_line(self, running: Counter[str]) -> Line:
        return min(self._lines, key=lambda line: (line[0], running[line[1]], self._served_at.get(line, 0)))
