"""Quota periods are calendar months, UTC, written as the integer YYYYMM."""

from datetime import UTC, datetime, timedelta


def period_of(now_ms: int) -> int:
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return moment.year * 100 + moment.month


def period_ends_ms(period: int) -> int:
    """The first millisecond of the next month, in Unix ms."""
    first = datetime(period // 100, period % 100, 1, tzinfo=UTC)
    following = (first + timedelta(days=32)).replace(day=1)
    return int(following.timestamp() * 1000)


def day_of(now_ms: int) -> str:
    """`2026-11-20`, UTC."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d")


def hour_of(now_ms: int) -> str:
    """`2026-11-20T12:00Z`"""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:00Z")


def rfc3339(now_ms: int) -> str:
    """A time as the account API writes it: `2026-11-20T12:00:00Z`."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
