"""The ledger, roll-ups and metrics."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from sluice.domain.usage.ledger import EVERY, LedgerRecord, LogFilter

if TYPE_CHECKING:
    from sluice.domain.spans import Span
    from sluice.domain.usage.measures import Measure
    from sluice.domain.usage.refusals import RefusedDay
    from sluice.domain.usage.usage import Amounts, Bucket


class DeadLetters(Protocol):
    def waiting(self) -> Mapping[str, int]:
        """The number of failed events in each dead-letter queue. Errors: StoreUnavailable."""


class LedgerReader(Protocol):
    """The ledger of one account at a time. Reads are consistent. Errors: StoreUnavailable."""

    def get(self, account_id: str, request_id: str) -> LedgerRecord | None: ...

    def page(
        self, account_id: str, *, limit: int, before_id: str | None = None, wanted: LogFilter = EVERY
    ) -> tuple[list[LedgerRecord], str | None]:
        """Newest first, and the `before_id` of the next page, or None at the end.

        With a filter that few records match, a page may be shorter than `limit` and not be the last.
        """

    def between(self, account_id: str, span: Span) -> Iterator[LedgerRecord]:
        """Every record of a span, oldest first. Errors: ValidationFailed when there are too many for one request."""

    def everything(self, account_id: str) -> Iterator[LedgerRecord]:
        """Every record, oldest first, without a limit of time: for reconciliation."""

    def unmarked(self, account_id: str, now_ms: int) -> list[LedgerRecord]:
        """Records that metering has not rolled up yet."""


class RollupStore(Protocol):
    """Usage by account, day, model and API token. Reads are consistent. Errors: StoreUnavailable."""

    def fold(self, records: Sequence[LedgerRecord], now_ms: int) -> bool:
        """Add records (1 to 99, all of one roll-up) to their roll-up and mark them, in one transaction.

        Returns False, and writes nothing, if one of them was already marked.
        """

    def between(self, account_id: str, first_day: str, last_day: str) -> dict[Bucket, Amounts]:
        """The roll-ups of these days (`2026-11-20`), including both."""

    def snapshot(self, account_id: str, bucket: Bucket, request_ids: Sequence[str]) -> tuple[Amounts, set[str]]:
        """The roll-up, and which of the records (99 at most) are marked, read at one moment."""

    def everyones(self, first_day: str, last_day: str) -> tuple[dict[tuple[str, Bucket], Amounts], bool]:
        """Amounts by account and roll-up; and whether they are complete, because reading a very large table stops."""


class RefusalStore(Protocol):
    """Refused requests by account and UTC day (`2026-11-20`). Errors: StoreUnavailable."""

    def add(self, news: RefusedDay, expires_s: int) -> None:
        """Add to what is stored of this account and day; it expires at `expires_s` (Unix seconds)."""

    def between(self, account_id: str, first_day: str, last_day: str) -> Iterator[RefusedDay]:
        """In order, including both days."""

    def everyones(
        self, first_day: str, last_day: str, after: tuple[str, ...] | None
    ) -> tuple[list[RefusedDay], tuple[str, ...] | None]:
        """A page of all accounts' days, and where the next begins. A page may be empty without being the last."""

    def erase_account(self, account_id: str) -> None: ...


class Metrics(Protocol):
    """Metrics of the running system: Prometheus on one machine, CloudWatch's embedded metric format on AWS.

    Calls take microseconds, are safe from any thread, and never raise for a store or a network. `labels` are those that
    the measure declares.
    """

    def count(self, measure: Measure, amount: int = 1, **labels: str) -> None: ...

    def observe(self, measure: Measure, value: float, **labels: str) -> None: ...

    def change(self, measure: Measure, by: int, **labels: str) -> None:
        """Raise or lower a level: what runs now in this process."""

    def flush(self) -> None:
        """Write out the collected metrics where that is needed: at the end of a request or an event."""


class Tracing(Protocol):
    """Spans of the `/v1` request that this thread serves; without one, or if its trace is not sampled, every call does
    nothing. Calls take microseconds and never wait for a collector. No span holds text of a request or an answer."""

    def begin(self, method: str, route: str, request_id: str, traceparent: str) -> None:
        """Begin the request's own span. `traceparent`: the caller's header, or ""."""

    def end(self, status: int, error_code: str) -> None:
        """End it. `error_code`: of the answer, "" for none."""

    def span(self, name: str, **attributes: str) -> AbstractContextManager[object]:
        """Around a part of the request: a child of the part around it. An error inside is noted by its type."""

    def ask(self, model: str, path: str) -> str:
        """Begin the span of the model server's work. → the `traceparent` to send to it."""

    def answered(self, error: str = "") -> None:
        """End the span of the model server's work, if there is one. `error`: the type of its failure."""

    def settled(self, record: LedgerRecord) -> None:
        """Describe the request's span by what was charged."""


class Accountant(Protocol):
    """What only an operator's commands do: read everything, and repair it. Errors: StoreUnavailable."""

    def accounts(self) -> Iterator[str]: ...

    def records(self, span: Span) -> Iterator[LedgerRecord]:
        """Of every account, deleted ones too: account by account, each oldest first."""

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None: ...

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        """Does nothing if the grant is in another period by now."""
