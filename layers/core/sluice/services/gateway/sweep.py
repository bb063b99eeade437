"""Settle the requests whose holder died, found through the index of leases, never by a scan.

    lease expires ──── 10 s ────► the sweeper settles from the last checkpoint
    a holder that lives renews every 3 s and settles itself; one that comes back late finds its lease gone

An account is taken off the index here and not when its last lease goes: that spares a write a request.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.leases import LEASE_SHARDS
from sluice.ports.gateway import HotStore, LeaseIndex
from sluice.services.gateway.settle import settle_abandoned

log = logging.getLogger("sluice.sweeper")

DOWN_AFTER = 3  # accounts in a row for which the store did not answer: the rest would only wait too


@dataclass
class SweptLeases:
    """What one run did. `leases`: those found running, the abandoned ones included; `overdue_ms`: how long the oldest
    of them had been expired. A run a minute settles each within 70 s, so more means that runs fail or do not happen."""

    accounts: int = 0
    leases: int = 0
    settled: int = 0
    cleared: int = 0
    failed: int = 0
    overdue_ms: int = 0
    complete: bool = True


class Sweeper:
    """`clock_ms` is asked again for each account: a run may take most of a minute."""

    def __init__(self, grants: HotStore, index: LeaseIndex, clock_ms: Callable[[], int]) -> None:
        self._grants, self._index, self._clock_ms = grants, index, clock_ms

    def sweep(self, until_ms: int) -> SweptLeases:
        """Stops at `until_ms`. The shards come in a new order each time, so that a run cut short starves none."""
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
        """Whether the store answered. One account that cannot be settled keeps no other back."""
        swept.accounts += 1
        try:
            self._settle_abandoned(account_id, swept)
        except StoreUnavailable:
            swept.failed += 1
            return False
        except Exception as exc:  # an item that something else has spoilt
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
            record, attempt = settle_abandoned(self._grants, account_id, request_id, lease, now_ms)
            swept.settled += 1
            log.info("settled for a dead holder", extra={"request_id": request_id, "status": record.status})
            grant = attempt.grant or grant
        if not grant.leases and self._index.clear(account_id):
            swept.cleared += 1
