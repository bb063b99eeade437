"""Attempts of one call: FIELD 3, "a retry after a client's timeout"."""

import time

import pytest

from sluice.domain.ids import request_id_at
from sluice.domain.usage.calls import BETWEEN_MS, attempt_of, calls, mark
from sluice.domain.usage.ledger import LedgerRecord
from tests.slowness import within

NOW_MS = 1_800_000_000_000


def record(at_ms: int, call: str | None, token_id: str = "tok_a") -> LedgerRecord:
    return LedgerRecord(
        "usr_a", request_id_at(NOW_MS + at_ms), token_id, "demo", "chat.completions", False, 200, 1, 1, 0, 0,
        NOW_MS + at_ms, 1, 1, "stop", 202701, call=call,
    )  # fmt: skip


def found(*records: LedgerRecord) -> list[int | None]:
    """For each record the place of its call's first attempt; None without a call."""
    ids = [one.request_id for one in records]
    by_id = calls(reversed(records))
    return [ids.index(by_id[one]) if one in by_id else None for one in ids]


def test_the_attempts_of_a_call_are_one_and_a_call_without_a_mark_is_none() -> None:
    assert found(record(0, "0.a"), record(1000, None), record(2000, "1.a"), record(5000, "2.a")) == [0, None, 0, 0]


def test_the_same_question_asked_twice_is_two_calls() -> None:
    assert found(record(0, "0.a"), record(1, "0.a"), record(2, "1.a"), record(3, "1.a")) == [0, 1, 1, 0]
    assert found(record(0, "0.a"), record(1, "1.a"), record(2, "0.a"), record(3, "1.a")) == [0, 0, 2, 2]


def test_another_body_another_token_or_too_late_is_another_call() -> None:
    first = record(0, "0.a")
    assert found(first, record(1, "1.b")) == [0, 1]
    assert found(first, record(1, "1.a", "tok_b")) == [0, 1]
    assert found(first, record(BETWEEN_MS, "1.a")) == [0, 0]
    assert found(first, record(BETWEEN_MS + 1, "1.a")) == [0, 1]


def test_where_the_first_attempt_was_refused_the_next_one_begins_the_call() -> None:
    assert found(record(0, "1.a"), record(1, "2.a")) == [0, 0]


@pytest.mark.parametrize("marks", [("0.a",), ("1.a",), ("0.a", "1.a"), ("0.a", "0.a", "0.a", "2.a")])
def test_the_time_for_many_equal_requests_grows_with_their_number_only(marks: tuple[str, ...]) -> None:
    records = [record(place, marks[place % len(marks)]) for place in range(6000)]
    started = time.thread_time()
    calls(records)
    assert within(time.thread_time() - started, 0.5)  # 60 ms; a search of all earlier ones takes 6 s or more


def test_a_mark_depends_on_credential_path_and_body_and_shows_none_of_them() -> None:
    made = mark("1", "Bearer x", "/v1/completions", b"{}")
    assert made == mark("01", "Bearer x", "/v1/completions", b"{}")
    others = [("Bearer y", "/v1/completions", b"{}"), ("Bearer x", "/v1/chat", b"{}"), ("Bearer x", "/v1/chat", b"[]")]
    assert len({made, *(mark("1", *other) for other in others)}) == 4
    assert made is not None and len(made) == len("1.") + 8 and attempt_of(record(0, made)) == 1


@pytest.mark.parametrize("attempt", ["", "-1", "x", "100", "1.5", "²", "٣", " 1"])
def test_an_attempt_that_is_no_number_is_left_out(attempt: str) -> None:
    assert mark(attempt, "Bearer x", "/v1/completions", b"{}") is None
