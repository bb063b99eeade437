"""The parameters `from` and `to` of usage queries."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.errors import ValidationFailed
from sluice.domain.spans import DAY_MS, Span, month, parse_span

NOW_MS = 1_795_233_605_000  # 2026-11-21T04:00:05Z
TODAY_MS = NOW_MS // DAY_MS * DAY_MS
FIRST_MS = TODAY_MS - 20 * DAY_MS
MOMENTS = st.integers(0, 4_102_444_800_000)


def test_the_default_span_is_this_month_up_to_today() -> None:
    assert parse_span(None, None, NOW_MS) == Span(FIRST_MS, TODAY_MS + DAY_MS)


def test_a_date_as_to_includes_its_day_and_from_defaults_to_its_month() -> None:
    assert parse_span("2026-11-20", "2026-11-20", NOW_MS) == Span(TODAY_MS - DAY_MS, TODAY_MS)
    assert parse_span(None, "2026-10-05", NOW_MS) == Span(FIRST_MS - 31 * DAY_MS, FIRST_MS - 26 * DAY_MS)


@pytest.mark.parametrize(
    "text", ["2026-11-20T10:00:00Z", "2026-11-20t10:00:00z", "2026-11-20T12:30:00+02:30", "2026-11-20T10:00:00.000Z"]
)
def test_every_rfc_3339_form_of_a_moment_is_accepted(text: str) -> None:
    assert parse_span(text, "2026-11-20", NOW_MS).from_ms == TODAY_MS - DAY_MS + 10 * 3_600_000


def test_a_to_later_than_now_is_rounded_up_to_the_end_of_today() -> None:
    assert parse_span("2026-11-21", "2026-11-21T04:00:06Z", NOW_MS).to_ms == TODAY_MS + DAY_MS
    assert parse_span("2026-11-21", "2026-11-21T04:00:04Z", NOW_MS).to_ms == NOW_MS - 1000


@pytest.mark.parametrize(
    ("from_text", "to_text"),
    [
        ("", "tomorrow"),
        ("20261120", None),
        ("2026-W47-5", None),
        ("2026-02-30", None),
        ("2026-11-20T10:00:00", None),
        ("2026-11-20T10:00Z", None),
        ("2026-11-20T10:00:00+25:00", None),
        ("٢٠٢٦-11-20", None),
        ("2026-11-21", "2026-11-20"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
    ],
)
def test_an_invalid_span_is_refused_and_the_field_is_named(from_text: str, to_text: str | None) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_span(from_text, to_text, NOW_MS)
    assert refused.value.problems[0].field == ("to" if to_text else "from")


def test_the_first_and_last_years_are_no_errors() -> None:
    whole = parse_span("0001-01-01", "9999-12-31", NOW_MS)
    assert whole.from_ms == 0
    assert whole.to_ms > NOW_MS
    empty = parse_span("2030-01-01", None, NOW_MS)
    assert empty.from_ms == empty.to_ms


def test_a_month_ends_where_the_next_begins() -> None:
    assert month(202612).to_ms == month(202701).from_ms


@given(MOMENTS, st.integers(0, 5 * DAY_MS))
def test_whole_days_and_edges_cover_a_span_once(from_ms: int, length_ms: int) -> None:
    span = Span(from_ms, from_ms + length_ms)
    days = span.whole_days
    parts = sorted([*span.edges(), days], key=lambda part: (part.from_ms, part.to_ms))
    parts = [part for part in parts if part.from_ms < part.to_ms]
    assert sum(part.to_ms - part.from_ms for part in parts) == length_ms
    assert days.from_ms % DAY_MS == days.to_ms % DAY_MS == 0
    assert all(before.to_ms == after.from_ms for before, after in pairwise(parts))
    assert all(part.from_ms >= span.from_ms and part.to_ms <= span.to_ms for part in parts)
