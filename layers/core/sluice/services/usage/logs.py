"""One page of an account's request log: the ledger's records with their logged content, if any."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.ids import request_time_ms
from sluice.domain.spans import Span
from sluice.domain.usage.calls import attempt_of, calls
from sluice.domain.usage.latency import Latency, latency
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import ContentStore
from sluice.ports.usage import LedgerReader

CHECK_CHARACTERS = 8
READ_AT_ONCE = 1000
LOOK_BACK_MS = 45 * 60_000
TIMED_REQUESTS = 500  # latency is computed from the newest records only


@dataclass(frozen=True)
class LogFilter:
    """Which records to show; None in a field accepts every value. `answered`: True for status 200, False for others."""

    token_id: str | None = None
    model: str | None = None
    span: Span | None = None
    answered: bool | None = None


@dataclass(frozen=True)
class LogPage:
    entries: list[tuple[LedgerRecord, LoggedContent | None]]
    next_cursor: str | None
    calls: Mapping[str, str] = field(default_factory=dict)
    """Request id → id of its call (its first attempt's), of entries whose client numbers its attempts."""


@dataclass(frozen=True)
class UsageLog:
    """Newest first. Every method may raise StoreUnavailable."""

    ledger: LedgerReader
    contents: ContentStore

    def page(self, account_id: str, wanted: LogFilter, *, limit: int, cursor: str | None, now_ms: int) -> LogPage:
        """Errors: ValidationFailed for a cursor that is not one of this account's."""
        before_id = _position(cursor, account_id) if cursor else None
        records, next_id = self._records(account_id, wanted, limit, before_id)
        kept = self.contents.logged(account_id, [record.request_id for record in records], now_ms)
        entries = [(record, kept.get(record.request_id)) for record in records]
        calls = self._calls(account_id, records)
        return LogPage(entries, cursor_for(account_id, next_id) if next_id else None, calls)

    def _calls(self, account_id: str, records: list[LedgerRecord]) -> dict[str, str]:
        """The calls of marked records. Earlier attempts are looked for in `LOOK_BACK_MS` and `READ_AT_ONCE` records."""
        retries = [record.created_ms for record in records if record.call and attempt_of(record)]
        if retries:
            span = Span(max(0, min(retries) - LOOK_BACK_MS), max(retries) + 1)
            before, _ = self._records(account_id, LogFilter(span=span), READ_AT_ONCE, None)
            records = [*{one.request_id: one for one in (*before, *records)}.values()]
        return calls(records)

    def newest(self, account_id: str, wanted: LogFilter, most: int) -> list[LedgerRecord]:
        """The `most` newest records, without content."""
        found: list[LedgerRecord] = []
        before_id: str | None = None
        while len(found) < most:
            records, before_id = self._records(account_id, wanted, READ_AT_ONCE, before_id)
            found += records
            if before_id is None:
                break
        return found[:most]

    def latency(self, account_id: str, span: Span) -> Latency:
        """Latency of the newest answered requests in a span."""
        newest, _ = self._records(account_id, LogFilter(span=span, answered=True), TIMED_REQUESTS, None)
        return latency(newest)

    def _records(
        self, account_id: str, wanted: LogFilter, limit: int, before_id: str | None
    ) -> tuple[list[LedgerRecord], str | None]:
        return self.ledger.page(
            account_id,
            limit=limit,
            before_id=before_id,
            span=wanted.span,
            token_id=wanted.token_id,
            model=wanted.model,
            answered=wanted.answered,
        )


def cursor_for(account_id: str, request_id: str) -> str:
    """A position in one account's log.

    The check detects mistyped and foreign cursors. A forged one exposes nothing: the session decides whose log is read.
    """
    return urlsafe_b64encode(f"{request_id}.{_check(account_id, request_id)}".encode()).decode().rstrip("=")


def _position(cursor: str, account_id: str) -> str:
    try:
        request_id, _, check = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").rpartition(".")
        request_time_ms(request_id)
    except ValueError:
        request_id = check = ""
    if not check or cursor_for(account_id, request_id) != cursor:
        raise ValidationFailed((FieldProblem("cursor", "This is no `next_cursor` of this account's log."),))
    return request_id


def _check(account_id: str, request_id: str) -> str:
    return hashlib.sha256(f"usage log {account_id} {request_id}".encode()).hexdigest()[:CHECK_CHARACTERS]
