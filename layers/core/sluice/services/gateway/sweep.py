"""Settle the requests whose process died. The index of leases finds them, so no scan is needed.

    lease expires ──── 10 s ────► the sweeper settles from the last checkpoint; a run's it sends again to the queue
                                  of runs, whose worker takes it over, and settles only what nobody took in 15 min
    a live process renews every 3 s and settles itself; one that resumes late finds its lease gone

An account leaves the index here and not with its last lease, because that saves one write for each request.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.leases import LEASE_SHARDS
from sluice.ports.gateway import HotStore, LeaseIndex
from sluice.services.gateway.settle import settle_abandoned

log = logging.getLogger("sluice.sweeper")

DOWN_AFTER = 3  # so many accounts in a row without an answer of the store stop the run: the rest would time out too


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


class Sweeper:
    """`clock_ms` is read again for each account, because a sweep may take most of a minute. `send_again`: puts a run
    (account id, run id) into its queue."""

    def __init__(
        self,
        grants: HotStore,
        index: LeaseIndex,
        clock_ms: Callable[[], int],
        send_again: Callable[[str, str], None],
    ) -> None:
        self._grants, self._index, self._clock_ms, self._send_again = grants, index, clock_ms, send_again

    def sweep(self, until_ms: int) -> SweptLeases:
        """Stop at `until_ms` (Unix ms). The order of shards is random, so that short runs skip no shard for ever."""
        swept = SweptLeases()
        down = 0
        for shard in random.sample(LEASE_SHARDS, len(LEASE_SHARDS)):
            try:
                for account_id in self._index.accounts(shard):
                    if self._clock_ms() >= until_ms or down >= DOWN_AFTER:
                        swept.complete = False
                        return swept
                    down = 0 if self._account(account_id, swept) else down + 1
            except StoreUnavailable:
                swept.failed += 1
                down += 1
                log.warning("accounts with leases not read", extra={"reason": f"shard {shard}"})
        return swept

    def _account(self, account_id: str, swept: SweptLeases) -> bool:
        """Settle one account. → whether the store answered. A failure does not hold up the other accounts."""
        swept.accounts += 1
        try:
            self._settle_abandoned(account_id, swept)
        except StoreUnavailable:
            swept.failed += 1
            return False
        except Exception as exc:  # a malformed item, for example
            swept.failed += 1
            log.error("account not swept", exc_info=exc, extra={"account_id": account_id})
        return True

    def _settle_abandoned(self, account_id: str, swept: SweptLeases) -> None:
        grant: Grant | None = self._grants.grant(account_id)
        if grant is None:
            return  # the index lags behind the table
        swept.leases += len(grant.leases)
        now_ms = self._clock_ms()
        for request_id, lease in grant.leases.items():
            swept.overdue_ms = max(swept.overdue_ms, now_ms - lease.expires_ms)
            if not lease.abandoned(now_ms):
                continue
            if lease.epoch:
                self._send_again(account_id, request_id)
                if not lease.given_up(now_ms) or not self._grants.take_over(account_id, request_id, lease, now_ms).made:
                    continue
                lease = replace(lease, epoch=lease.epoch + 1)
            record, attempt = settle_abandoned(self._grants, account_id, request_id, lease)
            swept.settled += 1
            log.info("settled an abandoned request", extra={"request_id": request_id, "status": record.status})
            grant = attempt.grant or grant
        if not grant.leases and self._index.clear(account_id):
            swept.cleared += 1
