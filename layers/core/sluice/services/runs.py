"""Runs: submitted, claimed by one worker at a time, taken over from dead ones, ended once (ADR 120).

    row, queue ─ claim ─ ADMIT (or take the dead attempt's lease over) ─ begin ─ answer ─ store it ─ settle ─ end
       ✗ after any step: the message comes again, or the sweeper sends it again when the lease has expired

The lease in the grant is the only one. Each owner of it has an epoch of its own, which every later write on the grant
and on the row names, so those of an earlier owner are refused. The ledger takes the first record, as always.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.domain import errors
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.leases import Lease
from sluice.domain.runs import MOST_DEATHS, MOST_LIVE, QUEUED_MS, Run
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import HotStore
from sluice.ports.runs import RunEvents, RunQueue, RunStore
from sluice.services.gateway.request import Superseded
from sluice.services.gateway.settle import settle_abandoned

WATCH_SECONDS = 1.0  # how soon a run that was cancelled ends, if its model sends events
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 2, 60  # before a run that was refused is tried again
TOO_MANY = f"This account has {MOST_LIVE} background responses that have not ended. Wait for some of them."


@dataclass(frozen=True)
class Claimed:
    """A run that this process is to execute. `taken`: the lease of the dead attempt, and the grant."""

    run: Run
    epoch: int
    taken: tuple[Lease, Grant] | None


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
        run = self.rows.get(account_id, run_id)
        if run is None:
            return None
        grant = self.store.grant(account_id)
        lease = grant.leases.get(run_id) if grant else None
        now_ms = self.now_ms()
        if lease is None:
            if run.is_lost(now_ms):
                self.rows.end(run, "failed")
            return Claimed(run, run.epoch + 1, None) if run.is_live and not run.is_lost(now_ms) else None
        if not lease.expired(now_ms):
            return None
        attempt = self.store.take_over(account_id, run_id, lease, now_ms)
        if not attempt.made or attempt.grant is None:
            return None
        lease = replace(lease, epoch=lease.epoch + 1)
        is_last = run.deaths + 1 >= MOST_DEATHS
        if run.is_live and not is_last and self.store.record(account_id, run_id) is None:
            return Claimed(run, lease.epoch, (lease, attempt.grant))
        record, _ = settle_abandoned(self.store, account_id, run_id, lease)
        self._end_by(record, run)
        return None

    def begin(self, claimed: Claimed) -> None:
        """Call it with the lease, before the model is asked. Errors: Superseded, StoreUnavailable."""
        run = claimed.run
        # The record is put before the lease is given back: one who was admitted after that sees it.
        if claimed.taken is None and (record := self.store.record(run.account_id, run.run_id)) is not None:
            self._end_by(record, run)
            raise Superseded()
        if not self.rows.begin(run, claimed.epoch, died=claimed.taken is not None):
            raise Superseded()

    def _end_by(self, record: LedgerRecord, run: Run) -> None:
        """End the row of a run whose process died after it had settled, or that is given up."""
        self.rows.end(run, "completed" if record.status == 200 else "failed")

    def come_again(self, run: Run, refusal: errors.SluiceError) -> bool:
        """Put a run that cannot be executed now into the queue again. False if it has waited too long."""
        if self.now_ms() - run.created_ms > QUEUED_MS:
            return False
        seconds = getattr(refusal, "retry_after_seconds", LEAST_PAUSE_SECONDS)
        self.queue.put(run.account_id, run.run_id, min(max(seconds, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS))
        return True

    def watch(self, run: Run) -> Callable[[], bool]:
        """→ whether the run has been cancelled, which is asked of the store once a second at most."""
        asked = time.monotonic()

        def is_cancelled() -> bool:
            nonlocal asked
            if time.monotonic() - asked < WATCH_SECONDS:
                return False
            asked = time.monotonic()
            try:
                now = self.rows.get(run.account_id, run.run_id)
            except errors.StoreUnavailable:
                return False
            return now is None or not now.is_live

        return is_cancelled
