"""OpenAI's filters on a file's attributes: comparisons, combined with `and` and `or`. Pure functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sluice.domain.documents.uploads import Attributes

MAX_DEPTH = 4


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Compares numbers with numbers and text with text. Other pairs have no order and never match."""

    def ordered(value: Any, wanted: Any) -> bool:
        both_text = isinstance(value, str) and isinstance(wanted, str)
        return (both_text or (_is_number(value) and _is_number(wanted))) and compare(value, wanted)

    return ordered


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: Any, wanted: Any) -> bool:
    """Equal in JSON's sense, because in Python `True == 1`."""
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _same,
    "ne": lambda value, wanted: not _same(value, wanted),
    "gt": _order(lambda value, wanted: value > wanted),
    "gte": _order(lambda value, wanted: value >= wanted),
    "lt": _order(lambda value, wanted: value < wanted),
    "lte": _order(lambda value, wanted: value <= wanted),
    "in": lambda value, wanted: any(_same(value, one) for one in _several(wanted)),
    "nin": lambda value, wanted: not any(_same(value, one) for one in _several(wanted)),
}


def _several(wanted: Any) -> Sequence[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def matches(attributes: Attributes, wanted: Mapping[str, Any] | None) -> bool:
    """Whether a file with these attributes matches. A missing attribute matches only `ne` and `nin`."""
    if wanted is None:
        return True
    if wanted["type"] in ("and", "or"):
        passed = (matches(attributes, one) for one in wanted["filters"])
        return all(passed) if wanted["type"] == "and" else any(passed)
    return COMPARISONS[wanted["type"]](attributes.get(wanted["key"]), wanted["value"])
