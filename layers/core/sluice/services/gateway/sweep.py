"""Settle the requests whose process died. The index of leases finds them, so no scan is needed.

    lease expires ──── 10 s ────► the sweeper settles from the last checkpoint; a run's it sends again to the queue
                                  of runs, whose worker takes it over, and settles only what nobody took in 15 min
    a live process renews every 3 s and settles itself; one that resumes late finds its lease gone

An account leaves the index here and not with its last lease, because that saves one write for each request. One thread
reads the index and the grants; up to WORKERS settle accounts (docs/adr/0105-accounts-are-swept-side-by-side.md).
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.leases import LEASE_SHARDS
from sluice.ports.gateway import HotStore, LeaseIndex
from sluice.services.gateway.settle import settle_abandoned, settle_last

log = logging.getLogger("sluice.sweeper")

WORKERS = 8
READ_AT_ONCE = 100  # grants
DOWN_AFTER = 3  # so many calls in a row without an answer of the store stop the run: the rest would time out too


@dataclass
class SweptLeases:
    """One run. `leases`: how many were found, abandoned ones included. `overdue_ms`: for how long the oldest had been
    expired. A run each minute settles each lease within 70 s, so more means that runs fail or are missing."""

    accounts: int = 0
    leases: int = 0
    settled: int = 0
    cleared: int = 0
    failed: int = 0
    overdue_ms: int = 0
    complete: bool = True

    def add(self, other: "SweptLeases") -> None:
        for name in ("accounts", "leases", "settled", "cleared", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.overdue_ms = max(self.overdue_ms, other.overdue_ms)
        self.complete &= other.complete


class Workers:
    """The places of one run's workers, and what their accounts came to. A place is closed where the store did not
    answer: so a throttled store gets as few calls at once as it takes, and the last place notices a store that is down.
    """

    def __init__(self, swept: SweptLeases) -> None:
        self._swept, self._lock = swept, threading.Lock()
        self._free, self._places, self._failures = threading.Semaphore(WORKERS), WORKERS, 0

    @property
    def store_is_down(self) -> bool:
        return self._places == 1 and self._failures >= DOWN_AFTER

    def take(self) -> None:
        self._free.acquire()

    def give_back(self, account: SweptLeases, *, answered: bool) -> None:
        with self._lock:
            self._swept.add(account)
            self._failures = 0 if answered else self._failures + 1
            if not answered and self._places > 1:
                self._places -= 1
                return
        self._free.release()


class SendAgain(Protocol):
    def __call__(self, account_id: str, request_id: str, *, is_row: bool) -> None:
        """Put the run, or the slice of the batch that has this row, into its queue. Errors: StoreUnavailable."""


class Sweeper:
    """`clock_ms` is read again for each lease, because a sweep may take most of a minute."""

    def __init__(
        self,
        grants: HotStore,
        index: LeaseIndex,
        clock_ms: Callable[[], int],
        send_again: SendAgain,
    ) -> None:
        self._grants, self._index, self._clock_ms, self._send_again = grants, index, clock_ms, send_again

    def sweep(self, until_ms: int) -> SweptLeases:
        """Stop at `until_ms` (Unix ms). The order of shards is random, so that short runs skip no shard for ever."""
        swept, read, unread = SweptLeases(), SweptLeases(), 0
        workers = Workers(swept)
        with ThreadPoolExecutor(WORKERS, "sweep") as pool:  # which begins a thread when no other is free
            for shard in random.sample(LEASE_SHARDS, len(LEASE_SHARDS)):
                try:
                    read.complete = self._shard(shard, until_ms, workers, pool)
                    unread = 0
                except StoreUnavailable:
                    read.failed, unread = read.failed + 1, unread + 1
                    log.warning("accounts with leases not read", extra={"reason": f"shard {shard}"})
                if not read.complete or unread >= DOWN_AFTER:
                    read.complete = False
                    break
        swept.add(read)
        return swept

    def _shard(self, shard: str, until_ms: int, workers: Workers, pool: ThreadPoolExecutor) -> bool:
        """→ whether there was time for all of its accounts. Errors: StoreUnavailable, where they cannot be read."""
        accounts = iter(self._index.accounts(shard))
        while some := list(islice(accounts, READ_AT_ONCE)):
            grant_of = self._read(some)
            for account_id in some:
                workers.take()
                if self._clock_ms() >= until_ms or workers.store_is_down:
                    return False
                pool.submit(self._account, account_id, grant_of, until_ms, workers)
        return True

    def _read(self, account_ids: Sequence[str]) -> Callable[[str], Grant | None]:
        """By one call, unless one of them is malformed: then each is read by its worker, and only that one fails."""
        try:
            return self._grants.grants_of(account_ids).get
        except StoreUnavailable:
            raise
        except Exception:
            return self._grants.grant

    def _account(
        self, account_id: str, grant_of: Callable[[str], Grant | None], until_ms: int, workers: Workers
    ) -> None:
        """Settle one account. A failure does not hold up the other accounts."""
        swept, answered = SweptLeases(accounts=1), True
        try:
            if grant := grant_of(account_id):  # None: the index lags behind the table
                self._settle_abandoned(grant, until_ms, swept)
        except StoreUnavailable:
            swept.failed, answered = 1, False
        except Exception as exc:  # a malformed item, for example
            swept.failed = 1
            log.error("account not swept", exc_info=exc, extra={"account_id": account_id})
        workers.give_back(swept, answered=answered)

    def _settle_abandoned(self, grant: Grant, until_ms: int, swept: SweptLeases) -> None:
        account_id, has_left = grant.account_id, False
        swept.leases = len(grant.leases)
        for request_id, lease in grant.leases.items():
            now_ms = self._clock_ms()
            if now_ms >= until_ms:
                swept.complete = False
                return
            swept.overdue_ms = max(swept.overdue_ms, now_ms - lease.expires_ms)
            if not lease.abandoned(now_ms):
                continue
            if lease.epoch:
                self._send_again(account_id, request_id, is_row=lease.is_row)
                if not lease.given_up(now_ms) or not self._grants.take_over(account_id, request_id, lease, now_ms).made:
                    continue
                lease = replace(lease, epoch=lease.epoch + 1)
            if len(grant.leases) == 1 and not lease.is_row:
                record, attempt = settle_last(self._grants, request_id, lease, grant)
                has_left = attempt.made
            if not has_left:
                record, attempt = settle_abandoned(self._grants, account_id, request_id, lease)
            swept.settled += 1
            log.info("settled an abandoned request", extra={"request_id": request_id, "status": record.status})
            grant = attempt.grant or grant
        if not grant.leases and (has_left or self._index.clear(account_id)):
            swept.cleared += 1
