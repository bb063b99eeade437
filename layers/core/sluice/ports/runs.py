"""Interfaces of runs: their rows, their queue, their events."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sluice.domain.runs import Run, Status


class RunStore(Protocol):
    """Every method may raise StoreUnavailable. Each write is one conditional write."""

    def get(self, account_id: str, run_id: str) -> Run | None:
        """A consistent read."""

    def put(self, run: Run, now_ms: int) -> bool:
        """Submit it. False if the account has as many live ones as it may have."""

    def begin(self, run: Run, epoch: int, *, died: bool) -> bool:
        """Mark it as executed by the holder of the lease of this epoch. `died`: an attempt before it has. False if it
        is not live any more, or has begun in this epoch or a later one."""

    def end(self, run: Run, status: Status, epoch: int | None = None) -> bool:
        """False if it is not live any more, or executed in another epoch than `epoch`."""


class RunQueue(Protocol):
    """Delivers each run at least once, in any order. Errors: StoreUnavailable."""

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None: ...


class RunEvents(Protocol):
    """Events in blocks, each under the sequence number of its first event. Errors: StoreUnavailable."""

    def put(self, run: Run, first: int, block: bytes) -> None: ...

    def get(self, run: Run, first: int) -> bytes | None: ...

    def firsts(self, run: Run) -> Iterator[int]:
        """In ascending order."""
