"""Usage, exact at the moment of asking: what is rolled up, and what metering has not got to yet.

A record carries its mark and its roll-up carries the record from one and the same moment: metering writes both in one
transaction. So a sum is right when each unmarked record it adds was still unmarked at the moment its roll-up was read.
`RollupStore.snapshot` reads the two at one moment, for as many records as a transaction holds; of more than that, the
rest is looked at again afterwards, and the sum done again where metering got to one of them in between.
"""

from collections import defaultdict
from dataclasses import dataclass

from sluice.domain.periods import day_of
from sluice.domain.spans import DAY_MS, Span, month
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import Amounts, Bucket, Split, add_up, amounts_of, bucket_of, by_hour, roll_up, total
from sluice.ports.usage import LedgerReader, RollupStore

SNAPSHOT_RECORDS = 99  # a transaction reads 100 items, and one of them is the roll-up
TRIES = 3  # then the last sum stands: off by what metering rolled up within a few ms, under a heavy load only


@dataclass(frozen=True)
class PeriodUsage:
    """One account's month, an integer YYYYMM."""

    period: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro_usd: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class UsageSums:
    """One account's own. Errors of all: StoreUnavailable."""

    ledger: LedgerReader
    rollups: RollupStore

    def of_period(self, account_id: str, period: int, now_ms: int) -> PeriodUsage:
        """What an account used in a month, an integer YYYYMM."""
        used = total(self.by_bucket(account_id, month(period), now_ms))
        return PeriodUsage(period, used.requests, used.prompt_tokens, used.completion_tokens, used.cost_micro_usd)

    def by_bucket(self, account_id: str, span: Span, now_ms: int) -> dict[Bucket, Amounts]:
        """Whole days come from the roll-ups, parts of days from the ledger itself. Errors: ValidationFailed when a part
        of a day holds more records than can be added up while someone waits."""
        parts = [roll_up(self.ledger.between(account_id, edge)) for edge in span.edges()]
        days = span.whole_days
        if days.from_ms < days.to_ms:
            parts.append(self._whole_days(account_id, days, now_ms))
        return add_up(pair for part in parts for pair in part.items())

    def by_hour(self, account_id: str, span: Span, split: Split) -> dict[tuple[str, str], Amounts]:
        """By hour, and by what `split` says. Errors: ValidationFailed, as above."""
        return by_hour(self.ledger.between(account_id, span), split)

    def _whole_days(self, account_id: str, days: Span, now_ms: int) -> dict[Bucket, Amounts]:
        last_day = day_of(days.to_ms - DAY_MS)
        first_day = day_of(days.from_ms)

        def waiting() -> dict[Bucket, list[LedgerRecord]]:
            by_bucket: dict[Bucket, list[LedgerRecord]] = defaultdict(list)
            for record in self.ledger.unmarked(account_id, now_ms):
                bucket = bucket_of(record)
                if first_day <= bucket.day <= last_day:
                    by_bucket[bucket].append(record)
            return by_bucket

        for _ in range(TRIES):
            unmarked = waiting()
            sums = self.rollups.between(account_id, first_day, last_day)
            unchecked: set[str] = set()
            for bucket, records in unmarked.items():
                # The oldest are the ones that metering is about to get to.
                oldest = sorted(records, key=lambda record: record.request_id)[:SNAPSHOT_RECORDS]
                rolled, marked = self.rollups.snapshot(account_id, bucket, [record.request_id for record in oldest])
                sums[bucket] = sum((amounts_of(r) for r in records if r.request_id not in marked), rolled)
                unchecked |= {record.request_id for record in records} - {record.request_id for record in oldest}
            if not unchecked or unchecked <= {r.request_id for records in waiting().values() for r in records}:
                break
        return sums
