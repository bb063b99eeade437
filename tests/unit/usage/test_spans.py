"""The parameters `from` and `to` of usage queries."""

from datetime import UTC, date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.errors import ValidationFailed
from sluice.domain.periods import day_of, day_start_ms, hour_of
from sluice.domain.spans import DAY_MS, Span, month, parse_span
from sluice.http.usage import zone_of

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


# --- days of a time zone: FIELD 3, "sum of days = the range"

ZONES = [
    *("Asia/Kolkata", "America/Los_Angeles", "Europe/Berlin", "UTC", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Havana", "Africa/Cairo", "Pacific/Kiritimati", "America/St_Johns", "Pacific/Chatham"),
]
CHANGES = [
    date(2026, 3, 8),
    date(2026, 3, 29),
    date(2026, 4, 24),
    date(2026, 10, 25),
    date(2026, 10, 30),
    date(2026, 11, 1),
]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Los_Angeles", "2026-03-08", 23),
        ("America/Los_Angeles", "2026-11-01", 25),
        ("Asia/Kolkata", "2026-03-29", 24),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("America/Havana", "2026-03-08", 23),  # has no 0:00
        ("Africa/Cairo", "2026-10-29", 25),  # its last hour comes twice
        ("Pacific/Apia", "2026-11-21", 24),
    ],
)
def test_a_day_of_a_zone_has_its_hours_also_when_clocks_change(zone: str, day: str, hours: float) -> None:
    span = parse_span(day, day, 1_900_000_000_000, ZoneInfo(zone))
    assert (span.to_ms - span.from_ms) / 3_600_000 == hours
    assert day_of(span.from_ms, ZoneInfo(zone)) == day_of(span.to_ms - 1, ZoneInfo(zone)) == day


def test_evening_traffic_west_of_utc_is_in_today() -> None:
    los_angeles = ZoneInfo("America/Los_Angeles")  # it is the evening of the 20th there
    span = parse_span(None, None, NOW_MS, los_angeles)
    assert NOW_MS in span and day_of(NOW_MS, los_angeles) == "2026-11-20"
    assert day_of(span.from_ms, los_angeles) == "2026-11-01"


@given(
    st.sampled_from(ZONES),
    st.sampled_from(CHANGES),
    st.integers(-3, 3),
    st.integers(0, 8),
    st.lists(st.integers(-5 * 86_400, 12 * 86_400), max_size=30),
)
def test_the_days_of_every_zone_are_a_partition_of_their_range(
    name: str, change: date, shift: int, length: int, seconds: list[int]
) -> None:
    """Whatever the ledger holds, each record of the range is in exactly one of its days, and under that day's name."""
    zone, now_ms = ZoneInfo(name), 1_900_000_000_000
    first = change + timedelta(days=shift)
    days = [(first + timedelta(days=place)).isoformat() for place in range(length + 1)]
    whole = parse_span(days[0], days[-1], now_ms, zone)
    each = [parse_span(day, day, now_ms, zone) for day in days]
    assert [each[0].from_ms, *(span.to_ms for span in each)] == [*(span.from_ms for span in each), whole.to_ms]
    for second in seconds:
        moment_ms = day_start_ms(change) + second * 1000
        holding = [day for day, span in zip(days, each, strict=True) if moment_ms in span]
        assert holding == ([day_of(moment_ms, zone)] if moment_ms in whole else [])


def test_a_repeated_hour_is_two_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = day_start_ms(date(2026, 10, 25), berlin)
    hours = [hour_of(start + place * 3_600_000, berlin) for place in range(25)]
    assert hours[2:4] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"] and len(set(hours)) == 25


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "", "\0", "Europe/Berlin "]
)
def test_an_unknown_zone_is_an_error_at_its_field(name: str) -> None:
    if not name:
        assert zone_of(name) is UTC
        return
    with pytest.raises(ValidationFailed) as failed:
        zone_of(name)
    assert failed.value.problems[0].field == "tz"


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("to", ["9999-12-31", "9999-12-31T23:59:59Z"])
def test_the_last_of_all_days_is_no_error_in_any_zone(name: str, to: str) -> None:
    assert parse_span(None, to, NOW_MS, ZoneInfo(name)).to_ms > NOW_MS
