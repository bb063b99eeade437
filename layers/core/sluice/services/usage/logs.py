"""One page of an account's request log: the ledger's records with their logged content, if any."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.spans import Span
from sluice.domain.usage.calls import attempt_of, calls
from sluice.domain.usage.latency import Latency, latency
from sluice.domain.usage.ledger import LedgerRecord, LogFilter
from sluice.ports.gateway import ContentStore
from sluice.ports.usage import LedgerReader
from sluice.services.cursors import cursor as encoded
from sluice.services.cursors import position

READ_AT_ONCE = 1000
LOOK_BACK_MS = 45 * 60_000
TIMED_REQUESTS = 500  # latency is computed from the newest records only


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
        before_id = position(_log_of(account_id), cursor, 1)[0] if cursor else None
        records, next_id = self.ledger.page(account_id, limit=limit, before_id=before_id, wanted=wanted)
        kept = self.contents.logged(account_id, [record.request_id for record in records], now_ms)
        entries = [(record, kept.get(record.request_id)) for record in records]
        calls = self._calls(account_id, records)
        return LogPage(entries, cursor_for(account_id, next_id) if next_id else None, calls)

    def _calls(self, account_id: str, records: list[LedgerRecord]) -> dict[str, str]:
        """The calls of marked records. Earlier attempts are looked for in `LOOK_BACK_MS` and `READ_AT_ONCE` records."""
        retries = [record.created_ms for record in records if record.call and attempt_of(record)]
        if retries:
            span = Span(max(0, min(retries) - LOOK_BACK_MS), max(retries) + 1)
            before, _ = self.ledger.page(account_id, limit=READ_AT_ONCE, wanted=LogFilter(span=span))
            records = [*{one.request_id: one for one in (*before, *records)}.values()]
        return calls(records)

    def newest(self, account_id: str, wanted: LogFilter, most: int) -> list[LedgerRecord]:
        """The `most` newest records, without content."""
        found: list[LedgerRecord] = []
        before_id: str | None = None
        while len(found) < most:
            records, before_id = self.ledger.page(account_id, limit=READ_AT_ONCE, before_id=before_id, wanted=wanted)
            found += records
            if before_id is None:
                break
        return found[:most]

    def latency(self, account_id: str, span: Span) -> Latency:
        """Latency of the newest answered requests in a span."""
        wanted = LogFilter(span=span, answered=True)
        return latency(self.ledger.page(account_id, limit=TIMED_REQUESTS, wanted=wanted)[0])


def cursor_for(account_id: str, request_id: str) -> str:
    """A position in one account's log. A forged one exposes nothing: the session decides whose log is read."""
    return encoded(_log_of(account_id), request_id)


def _log_of(account_id: str) -> str:
    return f"usage log {account_id}"
