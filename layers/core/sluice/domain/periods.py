"""Quota periods are calendar months, UTC, written as the integer YYYYMM. Days and hours may be those of a time zone."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def period_of(now_ms: int) -> int:
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return moment.year * 100 + moment.month


def period_ends_ms(period: int) -> int:
    """The first millisecond of the next month, in Unix ms."""
    first = datetime(period // 100, period % 100, 1, tzinfo=UTC)
    following = (first + timedelta(days=32)).replace(day=1)
    return int(following.timestamp() * 1000)


def day_of(now_ms: int, zone: tzinfo = UTC) -> str:
    """`2026-11-20`: the day of the zone that began last, so that an hour which a clock repeats past midnight does not
    return to the day before."""
    day = datetime.fromtimestamp(now_ms / 1000, zone).date()
    if zone is not UTC and day_start_ms(day + ONE_DAY, zone) <= now_ms:
        day += ONE_DAY
    return day.isoformat()


def day_start_ms(day: date, zone: tzinfo = UTC) -> int:
    """The day's first moment in Unix ms, 0 if it is earlier. A day may have 23 or 25 hours and begin at 1:00."""
    return max(0, (datetime.combine(day, time.min, zone) - EPOCH) // timedelta(milliseconds=1))


def hour_of(now_ms: int, zone: tzinfo = UTC) -> str:
    """`2026-11-20T12:00Z`, or `2026-11-20T12:00+02:00`: an hour that a clock repeats has another offset."""
    moment = datetime.fromtimestamp(now_ms // 1000, zone).replace(minute=0, second=0)
    return moment.isoformat(timespec="minutes").replace("+00:00", "Z")


def rfc3339(now_ms: int) -> str:
    """A time as the account API writes it: `2026-11-20T12:00:00Z`."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
