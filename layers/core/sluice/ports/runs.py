"""Interfaces of runs (their rows, their queue, their events) and of repeated requests."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sluice.domain import batches, repeats
    from sluice.domain.batches import Batch, Progress
    from sluice.domain.repeats import Claim, KeptAnswer
    from sluice.domain.runs import Run, Status


class RunStore(Protocol):
    """Every method may raise StoreUnavailable. Each write is one conditional write."""

    def get(self, account_id: str, run_id: str) -> Run | None:
        """A consistent read."""

    def put(self, run: Run, now_ms: int) -> bool:
        """Submit it. False if the account has as many live ones as it may have."""

    def put_begun(self, run: Run, now_ms: int) -> None:
        """One that is executed at once, under a lease that it has. It does not count as one of the live ones."""

    def follow(self, run: Run) -> None:
        """From now on its events are stored."""

    def begin(self, run: Run, epoch: int, *, died: bool) -> bool:
        """Mark it as executed by the holder of the lease of this epoch. `died`: an attempt before it has. False if it
        is not live any more, or has begun in this epoch or a later one."""

    def end(self, run: Run, status: Status, epoch: int | None = None) -> bool:
        """False if it is not live any more, or executed in another epoch than `epoch`."""


class RunQueue(Protocol):
    """Delivers each run at least once, in any order. Errors: StoreUnavailable."""

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None: ...

    def hold(self, receipt: str, seconds: int) -> None:
        """Deliver a message, which is being handled, not again until so many seconds from now."""


class BatchStore(Protocol):
    """Every method may raise StoreUnavailable. Each write is one conditional write, or can be repeated."""

    def put(self, batch: Batch) -> bool:
        """False if the account has as many live ones as it may have."""

    def get(self, account_id: str, batch_id: str) -> Batch | None:
        """A consistent read."""

    def page(self, account_id: str, *, limit: int, after_id: str | None) -> list[Batch]:
        """Newest first."""

    def change(self, batch: Batch, before: Collection[batches.Status], now_ms: int) -> bool:
        """Give it the new status, with its counts, files and errors. False if its status is none of `before`."""

    def close(self, batch: Batch) -> None:
        """It has ended: it is none of the account's live ones any more, and a stream tells of it. `change` does it; to
        repeat it changes nothing."""

    def live_bytes(self, account_id: str) -> tuple[int, int]:
        """Of the account's batches that have not ended: the copies of their inputs, and their results so far."""

    def begin(self, batch: Batch, slices: int, input_bytes: int) -> None:
        """From here on there is a progress. Does nothing where there is one."""

    def progress(self, account_id: str, batch_id: str) -> Progress: ...

    def slice_done(self, batch: Batch, first: int, results: Progress) -> None:
        """Add what came of a slice's rows, once."""


class RunEvents(Protocol):
    """Events in blocks, each under the sequence number of its first event. Errors: StoreUnavailable."""

    def put(self, run: Run, first: int, block: bytes) -> None: ...

    def get(self, run: Run, first: int) -> bytes | None: ...

    def firsts(self, run: Run) -> Iterator[int]:
        """In ascending order."""


class ClaimStore(Protocol):
    """Keys of requests. Every method may raise StoreUnavailable. Each write is one conditional write."""

    def put(self, claim: Claim, now_ms: int) -> Claim | None:
        """Claim the key for this request. → the claim that holds it; None if this one does."""

    def count(self, account_id: str, now_ms: int) -> bool:
        """Count a new key. False if the account has had as many today as it may have."""

    def get(self, account_id: str, key_id: str, now_ms: int) -> Claim | None:
        """A consistent read."""

    def end(self, claim: Claim, status: repeats.Status) -> bool:
        """False if the key is another request's, or its claim has ended."""

    def free(self, claim: Claim, now_ms: int) -> None:
        """Let the next request have the key, unless the claim has ended."""


class KeptAnswers(Protocol):
    """Answers, each under the id of its request. Errors: StoreUnavailable."""

    def put(self, claim: Claim, answer: KeptAnswer) -> None: ...

    def get(self, claim: Claim) -> KeptAnswer | None: ...
