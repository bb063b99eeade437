"""One page of an account's request log: the ledger's records with their logged content, if any."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.spans import Span
from sluice.domain.usage.calls import BETWEEN_MS, attempt_of, calls
from sluice.domain.usage.latency import Latency, latency
from sluice.domain.usage.ledger import LedgerRecord, LogFilter
from sluice.ports.gateway import ContentStore
from sluice.ports.usage import LedgerReader
from sluice.services.cursors import cursor as encoded
from sluice.services.cursors import position

READ_AT_ONCE = 1000
MOST_READS = 10  # of earlier attempts, for one page
LOOK_BACK_MS = 45 * 60_000
TIMED_REQUESTS = 500  # latency is computed from the newest records only


@dataclass(frozen=True)
class LogPage:
    entries: list[tuple[LedgerRecord, LoggedContent | None]]
    next_cursor: str | None
    calls: Mapping[str, str] = field(default_factory=dict)
    """Request id → id of its call (its first attempt's), of entries whose client numbers its attempts. An entry is left
    out where its first attempt would be too far back to look for."""


@dataclass(frozen=True)
class UsageLog:
    """Newest first. Every method may raise StoreUnavailable."""

    ledger: LedgerReader
    contents: ContentStore

    def one(self, account_id: str, request_id: str, now_ms: int) -> LogPage:
        """The entry of this request, or none."""
        record = self.ledger.get(account_id, request_id)
        kept = self.contents.logged(account_id, [request_id], now_ms) if record else {}
        return LogPage([(record, kept.get(request_id))] if record else [], None)

    def page(self, account_id: str, wanted: LogFilter, *, limit: int, cursor: str | None, now_ms: int) -> LogPage:
        """Errors: ValidationFailed for a cursor that is not one of this account's."""
        found = self.amounts(account_id, wanted, limit=limit, cursor=cursor)
        records = [record for record, _ in found.entries]
        kept = self.contents.logged(account_id, [record.request_id for record in records], now_ms)
        entries = [(record, kept.get(record.request_id)) for record in records]
        return LogPage(entries, found.next_cursor, self._calls(account_id, records))

    def amounts(self, account_id: str, wanted: LogFilter, *, limit: int, cursor: str | None) -> LogPage:
        """As `page`, without content and calls: what an admin may see."""
        before_id = position(_log_of(account_id), cursor, 1)[0] if cursor else None
        records, next_id = self.ledger.page(account_id, limit=limit, before_id=before_id, wanted=wanted)
        return LogPage([(record, None) for record in records], cursor_for(account_id, next_id) if next_id else None)

    def _calls(self, account_id: str, records: list[LedgerRecord]) -> dict[str, str]:
        """The calls of marked records. An entry is left out where the bounds kept what came before it from being read,
        so that it has the same call on every page or none."""
        known = {one.request_id: one for one in records}
        left, read = READ_AT_ONCE + len(records), []
        for span in _before_retries(records)[:MOST_READS]:
            found, following = self.ledger.page(account_id, limit=left, wanted=LogFilter(span=span))
            known |= {one.request_id: one for one in found}
            left -= len(found)
            cut_ms = found[-1].created_ms + 1 if found else span.to_ms
            read.append(Span(cut_ms, span.to_ms) if following else span)
            if left <= 0:
                break

        def begins(first: LedgerRecord) -> bool:
            earliest_ms = max(0, first.created_ms - BETWEEN_MS)
            return not attempt_of(first) or any(earliest_ms in span and first.created_ms in span for span in read)

        return {one: first for one, first in calls(known.values()).items() if begins(known[first])}

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
        """Latency of the newest answered requests in a span for which a model wrote tokens."""
        wanted = LogFilter(span=span, answered=True)
        newest = self.ledger.page(account_id, limit=TIMED_REQUESTS, wanted=wanted)[0]
        return latency(one for one in newest if one.completion_tokens)


def _before_retries(records: list[LedgerRecord]) -> list[Span]:
    """The spans in which earlier attempts are looked for, newest first. Those that overlap are one."""
    spans: list[Span] = []
    for at_ms in sorted((one.created_ms for one in records if one.call and attempt_of(one)), reverse=True):
        from_ms = max(0, at_ms - LOOK_BACK_MS)
        if spans and spans[-1].from_ms <= at_ms:
            spans[-1] = Span(from_ms, spans[-1].to_ms)
        else:
            spans.append(Span(from_ms, at_ms + 1))
    return spans


def cursor_for(account_id: str, request_id: str) -> str:
    """A position in one account's log. A forged one exposes nothing: the session decides whose log is read."""
    return encoded(_log_of(account_id), request_id)


def _log_of(account_id: str) -> str:
    return f"usage log {account_id}"
