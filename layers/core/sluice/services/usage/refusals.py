"""Count refused requests outside their path: in the process first, then in the store, about once a second.

    refusal ── note (memory) ──┬── on one machine: a timer ──────────┐
    refusal ── note (memory) ──┘   on Lambda: the next that is noted ├── flush: one conditional write a day and account
                                   a second or more after the last ──┘

What was noted and not yet flushed is lost when the process ends: counters only, because the ledger is no part of this.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sluice.domain.errors import StoreUnavailable
from sluice.domain.periods import day_of
from sluice.domain.spans import DAY_MS, Span
from sluice.domain.usage.refusals import KEPT_DAYS, Refusal, RefusedDay, newest
from sluice.ports.gateway import HotStore
from sluice.ports.usage import RefusalStore
from sluice.services.cursors import cursor, position

log = logging.getLogger("sluice.refusals")

FLUSH_EVERY_MS = 1_000
FLUSH_FOR_SECONDS = 1.0
DOWN_AFTER = 3  # after so many calls in a row without an answer the store counts as down, and the flush ends
MAX_PENDING = 1_000  # days of accounts that wait for a flush; more are not counted
REFUSALS = "refusals"


@dataclass(frozen=True)
class RefusalReport:
    """`days`: in order. `last`: newest first."""

    days: list[RefusedDay]
    next_cursor: str | None = None

    @property
    def count(self) -> int:
        return sum(count for day in self.days for count in day.counts.values())

    @property
    def last(self) -> list[tuple[str, Refusal]]:
        """Account id and refusal of the last ones."""
        owners = {one.request_id: day.account_id for day in self.days for one in day.last}
        return [(owners[one.request_id], one) for one in newest(one for day in self.days for one in day.last)]


class Refusals:
    """Safe to use from many threads."""

    def __init__(
        self, store: RefusalStore, grants: HotStore, clock_ms: Callable[[], int], *, in_background: bool
    ) -> None:
        self._store, self._grants, self._clock_ms, self._in_background = store, grants, clock_ms, in_background
        self._pending: dict[tuple[str, str], RefusedDay] = {}
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None
        self._flushed_ms = 0

    def note(self, account_id: str, refusal: Refusal) -> None:
        """Takes microseconds, except for a flush on Lambda. It raises nothing."""
        now_ms = self._clock_ms()
        self._keep(RefusedDay(account_id, day_of(now_ms), {(refusal.token_id, refusal.code): 1}, (refusal,)))
        if self._in_background:
            self._set_timer()
        elif not 0 <= now_ms - self._flushed_ms < FLUSH_EVERY_MS:
            self.flush()

    def flush(self, account_id: str | None = None) -> None:
        """Write what was noted, of one account or of all, for about `FLUSH_FOR_SECONDS`, after waiting at most twice as
        long for another flush. What is left is kept for the next one, which a timer starts on one machine."""
        if self._flushing.acquire(timeout=2 * FLUSH_FOR_SECONDS):
            try:
                self._flushed_ms = self._clock_ms()
                self._write_pending(account_id)
            finally:
                self._flushing.release()
        if self._in_background:
            self._set_timer()

    def _write_pending(self, account_id: str | None) -> None:
        give_up = time.monotonic() + FLUSH_FOR_SECONDS
        in_a_row = failed = 0
        with self._lock:
            keys = [key for key in self._pending if account_id in (None, key[0])]
        for key in keys:
            if in_a_row >= DOWN_AFTER or time.monotonic() > give_up:
                break
            with self._lock:
                day = self._pending.pop(key)
            try:
                self._write(day)
                in_a_row = 0
            except StoreUnavailable:
                in_a_row, failed = in_a_row + 1, failed + 1
                self._keep(day)
            except Exception as exc:  # a malformed item must not hold up the other accounts
                log.error("refusals not written", exc_info=exc, extra={"account_id": day.account_id})
        if failed:
            log.warning("refusals not written, kept for the next time", extra={"failed": failed})

    def _set_timer(self) -> None:
        """It runs while something waits, and only then: else each flush for an answer would leave a thread."""
        with self._lock:
            if self._pending and self._timer is None:
                self._timer = threading.Timer(FLUSH_EVERY_MS / 1000, self._flush_in_time)
                self._timer.daemon = True
                self._timer.start()
            elif not self._pending and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _flush_in_time(self) -> None:
        with self._lock:
            self._timer = None
        self.flush()

    def _write(self, day: RefusedDay) -> None:
        grant = self._grants.grant(day.account_id)
        if grant is not None and grant.live:  # the grant of a deleted account names nobody; a race is accepted (ADR 32)
            self._store.add(day, self._clock_ms() // 1000 + KEPT_DAYS * DAY_MS // 1000)

    def _keep(self, news: RefusedDay) -> None:
        key = news.account_id, news.day
        with self._lock:
            if key in self._pending or len(self._pending) < MAX_PENDING:
                self._pending[key] = self._pending.get(key, RefusedDay(*key)) + news

    def _catch_up(self, account_id: str | None = None) -> None:
        """On one machine this process has noted all of them, so that an answer can be exact."""
        if self._in_background:
            self.flush(account_id)

    def of_account(self, account_id: str, span: Span) -> RefusalReport:
        """By whole UTC days: a day that the span only overlaps counts in full. Errors: StoreUnavailable."""
        self._catch_up(account_id)
        if span.from_ms >= span.to_ms:
            return RefusalReport([])
        return RefusalReport(list(self._store.between(account_id, day_of(span.from_ms), day_of(span.to_ms - 1))))

    def one(self, account_id: str, request_id: str, made_ms: int) -> Refusal | None:
        """If it is among the last of its day. `made_ms`: the time in its id. Errors: StoreUnavailable."""
        report = self.of_account(account_id, Span(made_ms, made_ms + DAY_MS))
        return next((one for _, one in report.last if one.request_id == request_id), None)

    def everyones(self, span: Span, after: str | None) -> RefusalReport:
        """A page of all accounts' days, in no order; it may be empty without being the last. Errors: ValidationFailed
        (a malformed cursor), StoreUnavailable."""
        self._catch_up()
        start = position(REFUSALS, after, 2) if after else None
        if span.from_ms >= span.to_ms:
            return RefusalReport([])
        found, following = self._store.everyones(day_of(span.from_ms), day_of(span.to_ms - 1), start)
        return RefusalReport(found, cursor(REFUSALS, *following) if following else None)
