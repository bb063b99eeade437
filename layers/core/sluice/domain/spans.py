"""Spans of time: how `from` and `to` are parsed, and which whole days a span covers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.periods import EPOCH, ONE_DAY, day_of, day_start_ms, period_ends_ms
from sluice.domain.phrases import phrase

DAY_MS = 24 * 60 * 60 * 1000
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# RFC 3339, section 5.6: the offset is required.
DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
LAST_DAY = date.max - 2 * ONE_DAY  # later ones overflow


@dataclass(frozen=True)
class Span:
    """A half-open span in Unix ms: it includes `from_ms` and excludes `to_ms`."""

    from_ms: int
    to_ms: int

    def __contains__(self, moment_ms: int) -> bool:
        return self.from_ms <= moment_ms < self.to_ms

    @property
    def whole_days(self) -> "Span":
        """The whole UTC days inside this span; an empty span if there are none."""
        first_ms = -(-self.from_ms // DAY_MS) * DAY_MS
        return Span(first_ms, max(first_ms, self.to_ms // DAY_MS * DAY_MS))

    def edges(self) -> Iterator["Span"]:
        """The parts of the span before and after its whole days, each shorter than a day."""
        days = self.whole_days
        if days.from_ms == days.to_ms:
            whole = self if self.from_ms < self.to_ms else None
            yield from [whole] if whole else []
            return
        if self.from_ms < days.from_ms:
            yield Span(self.from_ms, days.from_ms)
        if days.to_ms < self.to_ms:
            yield Span(days.to_ms, self.to_ms)


def month(period: int) -> Span:
    """The span of a quota period, given as the integer YYYYMM."""
    return Span(day_start_ms(date(period // 100, period % 100, 1)), period_ends_ms(period))


def parse_span(from_text: str | None, to_text: str | None, now_ms: int, zone: tzinfo = UTC) -> Span:
    """Parse two dates or RFC 3339 times. A date as `to` includes that day; a time as `to` is the first moment excluded.

    Dates are days of the zone. The default of `to` is today; the default of `from` is the first of the month in which
    the span ends. Errors: ValidationFailed, naming the field.
    """
    to_ms = _parse("to", to_text or day_of(now_ms, zone), zone, end=True)
    first_of_month = day_of(to_ms - 1, zone)[: len("2026-11-")] + "01"
    from_ms = _parse("from", from_text or first_of_month, zone, end=False)
    if to_ms <= from_ms and to_text:
        raise ValidationFailed((FieldProblem("to", phrase("The end must be later than the start.")),))
    if to_ms >= now_ms:
        to_ms = -(-to_ms // DAY_MS) * DAY_MS  # nothing lies after now, so the day may count as whole
    return Span(from_ms, max(from_ms, to_ms))  # a `from` in the future is valid: an empty span


def _parse(field: str, text: str, zone: tzinfo, *, end: bool) -> int:
    try:
        if DATE.fullmatch(text):
            day = min(date.fromisoformat(text), LAST_DAY)
            return day_start_ms(day + ONE_DAY if end else day, zone)
        if DATE_TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
            ms = (moment - EPOCH) // timedelta(milliseconds=1)
            return min(max(0, ms), day_start_ms(LAST_DAY))  # no request is older than 1970
    except (ValueError, OverflowError):
        pass  # February 31 matches the pattern but is not a date
    raise ValidationFailed(
        (FieldProblem(field, phrase("A date (2026-11-20) or an RFC 3339 time (2026-11-20T12:00:00Z) is expected.")),)
    )
