"""Times, numbers, money and sizes as the reader's language writes them.

The patterns are CLDR's. A test compares them with Babel's, because Babel itself would cost each cold start 100 ms.
English has ISO 8601, because British and American readers read 04/05 in two ways.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from sluice.domain.languages import Language
from sluice.domain.usage.pricing import dollars
from sluice.pages.words import _, language, later, translated, translated_count


class Written(NamedTuple):
    """`day`: in a sentence; `short_day`: in a table. Numbers have the same marks in all three."""

    day: str
    short_day: str
    dollar: str


WRITTEN: dict[Language, Written] = {
    "en": Written("{0:%Y}-{0:%m}-{0:%d}", "{0:%Y}-{0:%m}-{0:%d}", "$"),
    "zh-Hant": Written("{0.year}年{0.month}月{0.day}日", "{0.year}/{0.month}/{0.day}", "US$"),
    "ja": Written("{0.year}年{0.month}月{0.day}日", "{0:%Y}/{0:%m}/{0:%d}", "$"),
}
# What code calls by one word, as a page says it.
NAMES = {
    "active": later("active"),
    "revoked": later("revoked"),
    "expired": later("expired"),
    "pending": later("pending"),
    "suspended": later("suspended"),
    "deleting": later("deleting"),
    "user": later("user"),
    "admin": later("admin"),
    "ready": later("ready"),
    "unreachable": later("unreachable"),
    "validating": later("being checked"),
    "in_progress": later("in progress"),
    "finalizing": later("being finished"),
    "completed": later("completed"),
    "failed": later("failed"),
    "cancelling": later("being cancelled"),
    "cancelled": later("cancelled"),
}


def named(word: str) -> str:
    return translated(NAMES[word]) if word in NAMES else word


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def day(at_ms: int) -> str:
    """`2026-11-20`, in UTC."""
    return WRITTEN[language()].day.format(_at(at_ms))


def minute(at_ms: int) -> str:
    """`12:00 UTC`"""
    return f"{_at(at_ms):%H:%M} UTC"


def moment(at_ms: int | None) -> str:
    """`2026-11-20 12:00 UTC`"""
    return _("never") if at_ms is None else f"{day(at_ms)} {minute(at_ms)}"


def second(at_ms: int) -> str:
    """`2026-11-20 12:00:05`, in UTC, for a column that names the zone."""
    at = _at(at_ms)
    return f"{WRITTEN[language()].short_day.format(at)} {at:%H:%M:%S}"


def dated(iso: str) -> str:
    """A day (`2026-11-20`) or hour (`2026-11-20T12:00`) of a table."""
    at = datetime.fromisoformat(iso)
    hour = f" {at:%H:%M}{iso[16:].removesuffix('Z')}" if "T" in iso else ""  # with its offset, as a clock may repeat it
    return WRITTEN[language()].short_day.format(at) + hour


def number(count: int) -> str:
    return f"{count:,}"


def money(micro_usd: int | None, decimals: int = 6) -> str:
    """`$0.000123`, or a dash where there is no price."""
    if micro_usd is None:
        return "–"
    step = 10 ** (6 - decimals)
    whole, part = dollars((micro_usd + step // 2) // step * step).split(".")
    return f"{WRITTEN[language()].dollar}{int(whole):,}.{part[:decimals]}"


def short_money(micro_usd: int | None) -> str:
    """`$0.10`: at least two decimals, and no zeros after them."""
    if micro_usd is None:
        return "–"
    whole, _, part = dollars(micro_usd).partition(".")
    return f"{WRITTEN[language()].dollar}{whole}.{part[:2]}{part[2:].rstrip('0')}"


def places(most_micro_usd: int | None) -> int:
    """The decimals of every amount of a table whose largest is this one, so that the points are below each other."""
    return 6 if not most_micro_usd or most_micro_usd < 1_000_000 else 4 if most_micro_usd < 100_000_000 else 2


def size(count_bytes: int) -> str:
    """`12 bytes`, `3.4 KiB`, `12.3 MiB`"""
    if count_bytes < 1024:
        return translated_count("%(num)s byte", "%(num)s bytes", count_bytes) % {"num": count_bytes}
    kib = count_bytes / 1024
    return f"{kib:,.1f} KiB" if kib < 1024 else f"{kib / 1024:,.1f} MiB"


def wait(seconds: int) -> str:
    """`1 second`, `90 seconds`, `3 days`: rounded up, as `inWords` of chat_words.js does."""
    unit_seconds = next(unit for unit in (86_400, 3_600, 60, 1) if seconds >= 2 * unit or unit == 1)
    count = -(-seconds // unit_seconds)
    said = {
        86_400: translated_count("%(num)s day", "%(num)s days", count),
        3_600: translated_count("%(num)s hour", "%(num)s hours", count),
        60: translated_count("%(num)s minute", "%(num)s minutes", count),
        1: translated_count("%(num)s second", "%(num)s seconds", count),
    }
    return said[unit_seconds] % {"num": count}


def duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return _("%(count)s ms", count=milliseconds)
    seconds = f"{milliseconds / 1000:.1f}"
    return _("%(count)s s", count=seconds)
