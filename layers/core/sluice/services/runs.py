"""Runs: submitted, claimed by one worker at a time, taken over from dead ones, ended once (ADR 120).

    row, queue ─ claim ─ ADMIT (or take the dead attempt's lease over) ─ begin ─ answer ─ store it ─ settle ─ end
       ✗ after any step: the message comes again, or the sweeper sends it again when the lease has expired

The lease in the grant is the only one. Each owner of it has an epoch of its own, which every later write on the grant
and on the row names, so those of an earlier owner are refused. The ledger takes the first record, as always.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from sluice.domain import errors
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.leases import Lease
from sluice.domain.runs import MOST_DEATHS, MOST_LIVE, QUEUED_MS, Run, Status
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import HotStore
from sluice.ports.runs import RunEvents, RunQueue, RunStore
from sluice.services.gateway.request import Superseded
from sluice.services.gateway.settle import Outcome, settle, settle_abandoned

WATCH_SECONDS = 1.0  # how soon a run that was cancelled ends, if its model sends events
AFTER_SECONDS = 2.0  # from a settlement to the end of its row, at most
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 2, 60  # before a run that was refused is tried again
TOO_MANY = f"This account has {MOST_LIVE} background responses that have not ended. Wait for some of them."


@dataclass(frozen=True)
class Claimed:
    """A run that this process is to execute. `taken`: the lease of the dead attempt, and the grant."""

    run: Run
    epoch: int
    taken: tuple[Lease, Grant] | None


class Watch:
    """Of a run that is executed: whether it has been cancelled, and is followed. The store is asked once a second, and
    when it is to be known now."""

    def __init__(self, rows: RunStore, run: Run) -> None:
        self._rows, self._asked = rows, time.monotonic()
        self.run = run

    def is_cancelled(self, *, now: bool = False) -> bool:
        if now or time.monotonic() - self._asked >= WATCH_SECONDS:
            self._asked = time.monotonic()
            with suppress(errors.StoreUnavailable):
                self.run = self._rows.get(self.run.account_id, self.run.run_id) or replace(self.run, status="cancelled")
        return not self.run.is_live


@dataclass(frozen=True)
class Runs:
    rows: RunStore
    queue: RunQueue
    events: RunEvents
    store: HotStore
    now_ms: Callable[[], int]

    def submit(self, run: Run) -> None:
        """Errors: TooManyConcurrentRequests, StoreUnavailable."""
        if not self.rows.put(run, self.now_ms()):
            raise errors.TooManyConcurrentRequests(TOO_MANY)
        try:
            self.queue.put(run.account_id, run.run_id)
        except errors.StoreUnavailable:
            self.rows.end(run, "failed")
            raise

    def claim(self, account_id: str, run_id: str) -> Claimed | None:
        """None if there is nothing to do: the run has ended, or its lease is alive. Errors: StoreUnavailable."""
        run, now_ms = self.rows.get(account_id, run_id), self.now_ms()
        grant = self.store.grant(account_id)
        lease = grant.leases.get(run_id) if grant else None
        if lease is None:
            return self._without_lease(run, now_ms)
        if not lease.expired(now_ms):
            return None
        attempt = self.store.take_over(account_id, run_id, lease, now_ms)
        if not attempt.made or attempt.grant is None:
            return None
        lease = replace(lease, epoch=lease.epoch + 1)
        # Each epoch that the row does not have died as well, between the take-over and `begin`.
        goes_on = run is not None and run.is_live and run.deaths + lease.epoch - run.epoch < MOST_DEATHS
        if run is not None and goes_on and self.store.record(account_id, run_id) is None:
            return Claimed(run, lease.epoch, (lease, attempt.grant))
        record, _ = settle_abandoned(self.store, account_id, run_id, lease)
        if run is not None:  # else its process died before it could say what is asked
            self._end_by(record, run)
        return None

    def _without_lease(self, run: Run | None, now_ms: int) -> Claimed | None:
        if run is None or not run.is_live:
            return None
        if run.is_lost(now_ms):
            self.rows.end(run, "failed")
            return None
        return Claimed(run, run.epoch + 1, None)

    def begin(self, claimed: Claimed) -> None:
        """Call it with the lease, before the model is asked. Errors: Superseded, StoreUnavailable."""
        run = claimed.run
        # The record is put before the lease is given back, or with it: one who was admitted after that sees it.
        if claimed.taken is None and self.store.record(run.account_id, run.run_id) is not None:
            raise Superseded()
        if not self.rows.begin(run, claimed.epoch, died=claimed.taken is not None):
            raise Superseded()

    def end_settled(self, run: Run) -> None:
        """Call it without the lease, which a death would leave: it waits. Errors: StoreUnavailable."""
        if (record := self.store.record(run.account_id, run.run_id)) is not None:
            self._end_by(record, run, AFTER_SECONDS)

    def close(self, claimed: Claimed, outcome: Outcome | None = None) -> None:
        """End a run that is not executed (again). `outcome`: of its stored answer, where a dead attempt stored one and
        did not settle it; otherwise it is settled by what its dead attempts counted. Errors: StoreUnavailable."""
        run = claimed.run
        if claimed.taken is not None:
            names = (run.account_id, run.run_id, claimed.taken[0])
            record, _ = settle(self.store, *names, outcome) if outcome else settle_abandoned(self.store, *names)
            self._end_by(record, run)
        elif (settled := self.store.record(run.account_id, run.run_id)) is not None:
            self._end_by(settled, run, AFTER_SECONDS)
        elif outcome is None:
            self.rows.end(run, "failed")

    def _end_by(self, record: LedgerRecord, run: Run, seconds: float = 0) -> None:
        """End the row of a run whose process died after it had settled, or that is given up. `seconds`: for a process
        that may be alive, and about to store the last events, which are there before the row ends."""
        time.sleep(seconds)
        answered: Status = "incomplete" if record.finish_reason == "length" else "completed"
        self.rows.end(run, answered if record.status == 200 else "failed")

    def come_again(self, run: Run, refusal: errors.SluiceError) -> bool:
        """Put a run that cannot be executed now into the queue again. False if it has waited too long."""
        if self.now_ms() - run.created_ms > QUEUED_MS:
            return False
        seconds = getattr(refusal, "retry_after_seconds", LEAST_PAUSE_SECONDS)
        self.queue.put(run.account_id, run.run_id, min(max(seconds, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS))
        return True

    def is_over(self, run: Run) -> bool:
        """Whether nobody executes the run any more, nor will: it holds no lease, and waits for none."""
        grant = self.store.grant(run.account_id)
        if grant is not None and run.run_id in grant.leases:
            return False
        waits = run.is_live and not run.is_lost(self.now_ms())
        return not waits or self.store.record(run.account_id, run.run_id) is not None
