"""Usage, exact at the time of the call: the roll-ups, plus the records that metering has not folded yet.

Metering marks a record and adds it to its roll-up in one transaction. So a sum is correct if each unmarked record that
it adds was still unmarked when its roll-up was read. `RollupStore.snapshot` reads both in one transaction, for as many
records as a transaction holds. If there are more, the other records are read again afterwards, and the sum is repeated
if metering has folded one of them in between.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, tzinfo

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.periods import day_of
from sluice.domain.spans import DAY_MS, Span, month
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import Amounts, Bucket, Split, add_up, amounts_of, bucket_of, by_hour, roll_up, total
from sluice.ports.usage import LedgerReader, RollupStore

SNAPSHOT_RECORDS = 99  # a transaction reads 100 items, and one of them is the roll-up
ZONED_RECORDS = 50_000  # some seconds of reading
TRIES = 3  # then the last sum is returned; under heavy load it may miss what metering folded within a few ms


@dataclass(frozen=True)
class PeriodUsage:
    """One account's month, an integer YYYYMM."""

    period: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro_usd: int | None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def refuse_zone_of(zone: tzinfo, requests: int) -> None:
    """Errors: ValidationFailed (`tz`) if so many requests cannot be read for the days of this zone."""
    if zone is not UTC and requests > ZONED_RECORDS:
        message = f"More than {ZONED_RECORDS:,} requests cannot be added up by the days of a time zone at once. "
        raise ValidationFailed((FieldProblem("tz", message + "Choose fewer days, or UTC."),))


@dataclass(frozen=True)
class UsageSums:
    """Usage of one account. Every method may raise StoreUnavailable."""

    ledger: LedgerReader
    rollups: RollupStore

    def of_period(self, account_id: str, period: int, now_ms: int) -> PeriodUsage:
        """An account's usage in a month. `period`: an integer YYYYMM."""
        used = total(self.by_bucket(account_id, month(period), now_ms))
        return PeriodUsage(period, used.requests, used.prompt_tokens, used.completion_tokens, used.cost_micro_usd)

    def by_bucket(self, account_id: str, span: Span, now_ms: int) -> dict[Bucket, Amounts]:
        """Whole days come from the roll-ups, parts of days from the ledger. Errors: ValidationFailed if a part of a day
        holds more records than one request can sum."""
        parts = [roll_up(self.ledger.between(account_id, edge)) for edge in span.edges()]
        days = span.whole_days
        if days.from_ms < days.to_ms:
            parts.append(self._whole_days(account_id, days, now_ms))
        return add_up(pair for part in parts for pair in part.items())

    def by_day_of(self, zone: tzinfo, account_id: str, span: Span, now_ms: int) -> dict[Bucket, Amounts]:
        """As `by_bucket`, with the days of a time zone. Roll-ups are by UTC days, so any other day is summed from the
        ledger. Errors: ValidationFailed (`tz`) if there are more records than one request can sum."""
        sums = self.by_bucket(account_id, span, now_ms)
        if zone is UTC:
            return sums
        refuse_zone_of(zone, total(sums).requests)
        return roll_up(self.ledger.between(account_id, span), zone)

    def by_hour(self, account_id: str, span: Span, split: Split, zone: tzinfo = UTC) -> dict[tuple[str, str], Amounts]:
        """Amounts by hour and by `split`. Errors: ValidationFailed, as `by_bucket`."""
        return by_hour(self.ledger.between(account_id, span), split, zone)

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
                # The oldest, because metering folds them next.
                oldest = sorted(records, key=lambda record: record.request_id)[:SNAPSHOT_RECORDS]
                rolled, marked = self.rollups.snapshot(account_id, bucket, [record.request_id for record in oldest])
                sums[bucket] = sum((amounts_of(r) for r in records if r.request_id not in marked), rolled)
                unchecked |= {record.request_id for record in records} - {record.request_id for record in oldest}
            if not unchecked or unchecked <= {r.request_id for records in waiting().values() for r in records}:
                break
        return sums
