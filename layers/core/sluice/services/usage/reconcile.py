"""Compare roll-ups and the month's quota with the ledger, which is authoritative, and repair differences.

The system runs meanwhile, so a difference may be a request that is being settled. Therefore differences are read again,
and only those that stay the same count. Repairs are additions, because these commute with the writes of metering and
admission.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sluice.domain.ids import request_time_ms
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import NOTHING, Amounts, Bucket, roll_up
from sluice.ports.gateway import HotStore
from sluice.ports.usage import Accountant, LedgerReader, RollupStore

LOOKS = 4
PAUSE_SECONDS = 0.5
LATE_MS = 15 * 60_000  # metering has missed an unmarked record that is older than this
FIRST_DAY, LAST_DAY = "0000-00-00", "9999-99-99"

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class RollupDifference:
    account_id: str
    bucket: Bucket
    rolled: Amounts
    ledger: Amounts

    def __str__(self) -> str:
        return (
            f"{self.account_id} roll-up {self.bucket.key}: {_short(self.rolled)}, the ledger says {_short(self.ledger)}"
        )


@dataclass(frozen=True)
class QuotaDifference:
    account_id: str
    period: int
    charged: int
    ledger: int

    def __str__(self) -> str:
        return (
            f"{self.account_id} quota {self.period}: {self.charged} tokens charged, "
            f"the ledger and running requests say {self.ledger}"
        )


@dataclass(frozen=True)
class Unfolded:
    account_id: str
    record: LedgerRecord

    def __str__(self) -> str:
        return f"{self.account_id} record {self.record.request_id}: never rolled up"


Difference = RollupDifference | QuotaDifference | Unfolded


class Reconciliation:
    def __init__(
        self,
        ledger: LedgerReader,
        rollups: RollupStore,
        grants: HotStore,
        accountant: Accountant,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger, self._rollups, self._grants, self._accountant = ledger, rollups, grants, accountant
        self._sleep = sleep

    def differences(self, account_id: str, now_ms: int) -> list[Difference]:
        """Errors: StoreUnavailable."""
        return [
            *self._steady(lambda: self._unfolded(account_id, now_ms)),
            *self._steady(lambda: self._rolled_wrongly(account_id)),
            *self._steady(lambda: self._charged_wrongly(account_id)),
        ]

    def repair(self, difference: Difference, now_ms: int) -> None:
        """Errors: StoreUnavailable."""
        match difference:
            case Unfolded(record=record):
                self._rollups.fold([record], now_ms)
            case RollupDifference(account_id, bucket, rolled, ledger):
                self._accountant.add_to_rollup(account_id, bucket, ledger - rolled)
            case QuotaDifference(account_id, period, charged, ledger_tokens):
                self._accountant.add_to_quota(account_id, period, ledger_tokens - charged)

    def _steady(self, look: Callable[[], list[Seen]]) -> list[Seen]:
        """The result of `look` once two calls in a row agree."""
        seen = look()
        for _ in range(LOOKS):
            if not seen:
                break
            self._sleep(PAUSE_SECONDS)
            again = look()
            if again == seen:
                break
            seen = again
        return seen

    def _unfolded(self, account_id: str, now_ms: int) -> list[Difference]:
        late = (
            record
            for record in self._ledger.everything(account_id)
            if record.rolled_up_ms is None and request_time_ms(record.request_id) + LATE_MS < now_ms
        )
        return [Unfolded(account_id, record) for record in late]

    def _rolled_wrongly(self, account_id: str) -> list[Difference]:
        rolled = self._rollups.between(account_id, FIRST_DAY, LAST_DAY)
        truth = roll_up(r for r in self._ledger.everything(account_id) if r.rolled_up_ms is not None)
        return [
            RollupDifference(account_id, bucket, rolled.get(bucket, NOTHING), truth.get(bucket, NOTHING))
            for bucket in sorted(rolled.keys() | truth.keys())
            if truth.get(bucket, NOTHING) - rolled.get(bucket, NOTHING)
        ]

    def _charged_wrongly(self, account_id: str) -> list[Difference]:
        """The quota should equal the month's settled requests plus the tokens that leases reserve. A request between
        the two writes of its settlement has both a record and a lease, and counts by its lease."""
        grant = self._grants.grant(account_id)
        if grant is None:
            return []
        settled = self._settled_tokens(grant.period, self._ledger.everything(account_id), set(grant.leases))
        reserved = sum(lease.reserved_tokens for lease in grant.leases.values() if lease.period == grant.period)
        if grant.period_tokens == settled + reserved:
            return []
        return [QuotaDifference(account_id, grant.period, grant.period_tokens, settled + reserved)]

    @staticmethod
    def _settled_tokens(period: int, records: Iterable[LedgerRecord], running: set[str]) -> int:
        return sum(r.total_tokens for r in records if r.period == period and r.request_id not in running)


def _short(amounts: Amounts) -> str:
    return (
        f"{amounts.requests} requests, {amounts.prompt_tokens} + {amounts.completion_tokens} tokens, "
        f"{amounts.cost_micro_usd} µ$, {amounts.response_time_ms} ms"
    )
