"""The ledger, roll-ups and metrics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from sluice.domain.spans import Span
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.measures import Measure
from sluice.domain.usage.usage import Amounts, Bucket


class DeadLetters(Protocol):
    def waiting(self) -> Mapping[str, int]:
        """Events that were given up, by where they lie. Errors: StoreUnavailable."""


class LedgerReader(Protocol):
    """The ledger, one account's at a time. Reads are consistent. Errors: StoreUnavailable."""

    def get(self, account_id: str, request_id: str) -> LedgerRecord | None: ...

    def page(
        self,
        account_id: str,
        *,
        limit: int,
        before_id: str | None = None,
        span: Span | None = None,
        token_id: str | None = None,
        model: str | None = None,
        answered: bool | None = None,
    ) -> tuple[list[LedgerRecord], str | None]:
        """Newest first, and where to go on (`before_id` of the next page), None at the end.

        `answered`: those with status 200, or those with any other. With a filter that fits few records, a page may be
        shorter than asked for and not be the last.
        """

    def between(self, account_id: str, span: Span) -> Iterator[LedgerRecord]:
        """Every record of a span, oldest first. Errors: ValidationFailed when there are too many to wait for."""

    def everything(self, account_id: str) -> Iterator[LedgerRecord]:
        """Every record there is, oldest first, however long it takes: for reconciliation."""

    def unmarked(self, account_id: str, now_ms: int) -> list[LedgerRecord]:
        """The records that metering has not rolled up yet."""


class RollupStore(Protocol):
    """Usage by account, day, model and API token. Reads are consistent. Errors: StoreUnavailable."""

    def fold(self, records: Sequence[LedgerRecord], now_ms: int) -> bool:
        """Add records (1 to 99, all of one roll-up) to it and mark them, in one transaction.

        False, and nothing is written, when one of them was marked already.
        """

    def between(self, account_id: str, first_day: str, last_day: str) -> dict[Bucket, Amounts]:
        """Both days (`2026-11-20`) included."""

    def snapshot(self, account_id: str, bucket: Bucket, request_ids: Sequence[str]) -> tuple[Amounts, set[str]]:
        """A roll-up, and which of these records (99 at most) are marked, both as of one moment."""

    def everyones(self, first_day: str, last_day: str) -> tuple[dict[tuple[str, Bucket], Amounts], bool]:
        """By account and roll-up; and whether that is all: a very large table is not read to its end."""


class Metrics(Protocol):
    """Figures of the running system: Prometheus on one machine, CloudWatch's embedded metric format on AWS.

    Cheap (microseconds) and safe from any thread; never raises for a store or a network. Labels are the measure's own.
    """

    def count(self, measure: Measure, amount: int = 1, **labels: str) -> None: ...

    def observe(self, measure: Measure, value: float, **labels: str) -> None: ...

    def change(self, measure: Measure, by: int, **labels: str) -> None:
        """Of a level: what runs now, in this process."""

    def flush(self) -> None:
        """At the end of a request or an event: write out what was collected, where that is needed."""


class Accountant(Protocol):
    """What only reconciliation does. Errors: StoreUnavailable."""

    def accounts(self) -> Iterator[str]: ...

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None: ...

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        """Nothing where the grant is in another month by now."""
