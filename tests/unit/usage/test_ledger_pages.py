"""The ledger read page by page, over scripted answers of the store."""

import itertools
from typing import Any

import pytest

from sluice.adapters.usage.ledger import MAX_FILTERED_PAGES, MAX_PAGES, SETTLED_RUN, DynamoLedger
from sluice.domain.errors import ValidationFailed
from sluice.domain.ids import request_id, request_id_at
from sluice.domain.spans import Span
from sluice.domain.usage.ledger import LogFilter

NOW_MS = 1_800_000_000_000
NUMBERS = ("status", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_micro_usd", "created_ms", "period")


def record(at_ms: int, **more: int) -> dict[str, Any]:
    item = {name: {"N": "1"} for name in NUMBERS} | {name: {"N": str(value)} for name, value in more.items()}
    texts = {"account_id": "usr_a", "token_id": "tok_a", "model": "demo", "endpoint": "completions"}
    texts["request_id"] = request_id(at_ms)
    return item | {name: {"S": value} for name, value in texts.items()} | {"stream": {"BOOL": False}}


class Pages(DynamoLedger):
    """Answers with these pages; each names the next. `asked`: what the queries began with; `within`: the last range."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        super().__init__("t-")
        self.pages, self.within = pages, ("", "")
        self.asked: list[Any] = []

    def _query(self, query: Any) -> tuple[list[Any], Any]:
        start = query.get("ExclusiveStartKey")
        self.asked.append(start)
        values = query["ExpressionAttributeValues"]
        self.within = (values[":first"]["S"], values[":last"]["S"])
        page = start["request_id"]["S"] if start else 0
        return self.pages[page], {"request_id": {"S": page + 1}} if page + 1 < len(self.pages) else None


ONE = record(NOW_MS)
STARTS = [None, {"request_id": {"S": 1}}, {"request_id": {"S": 2}}]


def test_every_page_is_read_from_where_the_last_one_ended() -> None:
    for read in (lambda ledger: ledger.between("usr_a", Span(0, 5)), lambda ledger: ledger.everything("usr_a")):
        ledger = Pages([ONE], [], [ONE, ONE])
        assert len(list(read(ledger))) == 3
        assert ledger.asked == STARTS


def test_a_span_is_asked_for_from_its_first_to_its_last_millisecond() -> None:
    span, ledger = Span(NOW_MS, NOW_MS + 1000), Pages([])
    whole = (request_id_at(NOW_MS), request_id_at(NOW_MS + 999, last=True))
    assert ledger.page("usr_a", limit=1, wanted=LogFilter(span=span)) == ([], None)
    assert ledger.within == whole
    assert list(ledger.between("usr_a", span)) == []
    assert ledger.within == whole


def test_a_span_without_length_is_not_asked_for() -> None:
    ledger = Pages([ONE])
    assert list(ledger.between("usr_a", Span(5, 5))) == ledger.asked == []


def test_a_day_of_too_many_pages_is_an_error_and_not_a_wrong_sum() -> None:
    assert len(list(Pages(*[[ONE]] * MAX_PAGES).between("usr_a", Span(0, 5)))) == MAX_PAGES
    with pytest.raises(ValidationFailed) as refused:
        list(Pages(*[[ONE]] * (MAX_PAGES + 1)).between("usr_a", Span(0, 5)))
    (problem,) = refused.value.problems
    assert problem.field == "from" and problem.message.endswith("Ask for whole days.")


def test_a_filtered_page_ends_when_full_or_after_its_most_reads() -> None:
    wanted = LogFilter(model="demo")
    ledger = Pages([ONE], [ONE, ONE], [ONE])
    found, cursor = ledger.page("usr_a", limit=2, wanted=wanted)
    assert (len(found), cursor, len(ledger.asked)) == (2, found[1].request_id, 2)
    assert ledger.page("usr_a", limit=4, wanted=wanted)[1] is None
    ledger = Pages(*[[]] * (MAX_FILTERED_PAGES + 1))
    assert ledger.page("usr_a", limit=2, wanted=wanted) == ([], MAX_FILTERED_PAGES)
    assert len(ledger.asked) == MAX_FILTERED_PAGES


@pytest.mark.parametrize(("marked", "found"), [(SETTLED_RUN - 1, 1), (SETTLED_RUN, 0)])
def test_older_records_are_read_back_to_a_run_of_marked_ones(marked: int, found: int) -> None:
    older = [record(NOW_MS, rolled_up_ms=1)] * marked + [ONE]
    answers = itertools.count()

    class Both(Pages):
        def _query(self, query: Any) -> tuple[list[Any], Any]:
            recent = next(answers) == 0
            assert recent or query["ScanIndexForward"] is False
            return ([] if recent else older), None

    assert len(Both().unmarked("usr_a", NOW_MS)) == found
