"""The calls of a page of the log: what is read before its retries, and what is left out."""

from sluice.domain.ids import request_id_at
from sluice.domain.spans import Span
from sluice.domain.usage.ledger import EVERY, LedgerRecord, LogFilter
from sluice.services.usage import logs as service
from sluice.services.usage.logs import UsageLog

NOW_MS = 1_800_000_000_000
HOUR_MS = 60 * 60_000


def record(at_ms: int, call: str | None = None, status: int = 200) -> LedgerRecord:
    return LedgerRecord(
        "usr_a", request_id_at(NOW_MS + at_ms), "tok_a", "demo", "chat.completions", False, status, 1, 1, 0, 0,
        NOW_MS + at_ms, 1, 1, "stop", 202701, call=call,
    )  # fmt: skip


class FakeLedger:
    """Newest first, as the real one."""

    def __init__(self, *records: LedgerRecord) -> None:
        self.records = sorted(records, key=lambda one: one.request_id, reverse=True)
        self.reads: list[int] = []

    def page(
        self, account_id: str, *, limit: int, before_id: str | None = None, wanted: LogFilter = EVERY
    ) -> tuple[list[LedgerRecord], str | None]:
        span = wanted.span or Span(0, NOW_MS * 2)
        found = [
            one
            for one in self.records
            if one.created_ms in span
            and (before_id is None or one.request_id < before_id)
            and wanted.answered in (None, one.status == 200)
        ]
        self.reads.append(min(limit, len(found)))
        return found[:limit], found[limit - 1].request_id if len(found) > limit else None


class NoContents:
    def logged(self, account_id: str, request_ids: list[str], now_ms: int) -> dict[str, object]:
        return {}


def calls_of(ledger: FakeLedger, wanted: LogFilter = EVERY, limit: int = 20) -> dict[str, str]:
    log = UsageLog(ledger, NoContents())  # type: ignore[arg-type]
    page = log.page("usr_a", wanted, limit=limit, cursor=None, now_ms=NOW_MS)
    shown = {one.request_id for one, _ in page.entries}
    return {one: call for one, call in page.calls.items() if one in shown}


ANSWERED = LogFilter(answered=True)


def test_a_filtered_page_finds_the_first_attempt_of_each_retry_however_much_is_between() -> None:
    first, retry = record(0, "0.a", 499), record(1000, "1.a")
    late, late_retry = record(4 * HOUR_MS, "0.b", 499), record(4 * HOUR_MS + 1000, "1.b")
    between = [record(HOUR_MS + 1000 * place, status=499) for place in range(1500)]
    ledger = FakeLedger(first, retry, late, late_retry, *between)
    wanted = {retry.request_id: first.request_id, late_retry.request_id: late.request_id}
    assert calls_of(ledger, ANSWERED) == wanted
    assert calls_of(ledger, ANSWERED, limit=1) == {late_retry.request_id: late.request_id}
    assert max(ledger.reads) <= 4


def test_a_retry_whose_first_attempt_was_not_read_is_left_out_on_every_page() -> None:
    first, retry = record(0, "0.a"), record(10 * 60_000, "1.a")
    near, near_retry = record(10 * 60_000 + 1, "0.b"), record(10 * 60_000 + 1000, "1.b")
    between = [record(60_000 + 100 * place) for place in range(3000)]
    shown = calls_of(FakeLedger(first, retry, near, near_retry, *between), limit=3)
    assert shown == {near.request_id: near.request_id, near_retry.request_id: near.request_id}


def test_a_retry_without_a_first_attempt_begins_its_call_where_all_before_it_was_read() -> None:
    retry, second = record(0, "1.a"), record(1000, "2.a")
    assert calls_of(FakeLedger(retry, second)) == {one.request_id: retry.request_id for one in (retry, second)}


def test_a_page_of_retries_reads_no_more_than_a_bound() -> None:
    pairs = [(record(place * HOUR_MS, "0.a", 499), record(place * HOUR_MS + 1, "1.a")) for place in range(100)]
    ledger = FakeLedger(*(one for pair in pairs for one in pair))
    shown = calls_of(ledger, ANSWERED, limit=100)
    assert len(ledger.reads) == 1 + service.MOST_READS
    assert shown == {retry.request_id: first.request_id for first, retry in pairs[-service.MOST_READS :]}
