"""The values of a schema's keywords, checked one by one. Each function raises ValueError with the end of a sentence."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
FORMATS = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
MOST_LENGTH = 100_000


def type_names(value: Any) -> Any:
    """One of TYPES, or a list of them."""
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name in TYPES for name in names):
        raise ValueError("has a `type` that is none")
    return value


def length(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError("must be a whole number")
    if not 0 <= value <= MOST_LENGTH:
        raise ValueError(f"must be between 0 and {MOST_LENGTH:,}")
    return int(value)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def format_name(value: Any) -> str:
    if value not in FORMATS:
        raise ValueError(f"is not one of {', '.join(FORMATS)}")
    return str(value)


def names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of strings")
    return value


def _bound(towards: float) -> Callable[[Any], float | bool]:
    """llguidance computes with floats. A whole number that is none is moved inwards, so that nothing outside passes."""

    def check(value: Any) -> float | bool:
        if isinstance(value, bool):  # draft 4: exclusiveMinimum is a flag of minimum
            return value
        if not isinstance(value, int | float) or not abs(value) <= 1e300:
            raise ValueError("must be a number up to 1e300")
        rounded = float(value)
        outside = rounded < value if towards > 0 else rounded > value
        rounded = math.nextafter(rounded, towards) if outside else rounded
        return int(rounded) if rounded.is_integer() else rounded

    return check


def digits(value: Any) -> int:
    """The digits of a `multipleOf`, without the decimal point."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-9 <= value <= 1e9:
        raise ValueError("must be a number from 1e-9 to 1e9")
    return int("".join(map(str, Decimal(str(value)).normalize().as_tuple().digits)))


def literal(value: Any) -> Any:
    """A value of `enum` or `const`. Raises ValueError for numbers that a float cannot hold."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, int | float) and not (abs(item) <= 1e300 and float(item) == item):
            raise ValueError("has a number that cannot be held exactly")
    return value


CHECKS: dict[str, Callable[[Any], Any]] = {
    "type": type_names,
    "const": literal,
    "pattern": text,
    "format": format_name,
    "required": names,
    "minimum": _bound(math.inf),
    "exclusiveMinimum": _bound(math.inf),
    "maximum": _bound(-math.inf),
    "exclusiveMaximum": _bound(-math.inf),
} | dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), length)
