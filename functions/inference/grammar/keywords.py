"""The values of a schema's keywords, checked one by one. Each function raises ValueError with the end of a sentence."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
FORMATS = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
UNWRITABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\ud800-\udfff]")
PIECES = re.compile(r"\\.|\[(?:\\.|[^\\\]])*\]?|\{([0-9]{1,9})(?:,[0-9]*)?\}|.", re.DOTALL)
"""Of a pattern: an escaped character, a class, how often what stands before it is repeated, or one character. No text
matches in two ways, because with two each further character would double the work."""
PATTERN_CHARACTERS = 20_000
"""A longer pattern costs more than a schema may."""
FORCED_A_POINT = 8
"""Characters of one text that may be forced: 1 to 4 µs each, to find the beginning that an answer must have."""
MOST_LENGTH = 100_000
MOST_NUMBER = 10**15
"""Exact as a float. llguidance overflows its stack for a constant of -(2**63)."""


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
    return [str(literal(name)) for name in value]


def lower_bound(value: Any) -> float:
    """Moved inwards to what llguidance computes with, so that nothing outside passes."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value > MOST_NUMBER:
        raise ValueError(f"must be a number up to {MOST_NUMBER:.0e}")
    return max(value, -MOST_NUMBER)


def upper_bound(value: Any) -> float:
    """As `lower_bound`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < -MOST_NUMBER:
        raise ValueError(f"must be a number from {-MOST_NUMBER:.0e}")
    return min(value, MOST_NUMBER)


def without_exclusive(node: dict[str, Any]) -> None:
    """Replaces exclusive bounds that are whole: llguidance allows 0 for "above 0 and up to 0.5"."""
    for exclusive, inclusive, sign, inner in (
        ("exclusiveMinimum", "minimum", 1, max),
        ("exclusiveMaximum", "maximum", -1, min),
    ):
        bound = node.get(exclusive)
        if bound is not None and float(bound).is_integer() and node.get("type") != "integer":
            inside = bound + sign * max(1e-9, abs(bound) * 1e-14)  # its JSON parser may miss a float's last bits
            node[inclusive] = inner(inside, node.get(inclusive, inside))
            del node[exclusive]


def digits(value: Any) -> int:
    """The digits of a `multipleOf`, without the decimal point."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 <= value <= 1e9:
        raise ValueError("must be a number from 1e-6 to 1e9")
    exact = Decimal(str(value)).normalize()
    return int(exact.scaleb(max(0, -int(exact.as_tuple().exponent))))


def literal(value: Any) -> Any:
    """A value of `enum` or `const`. Raises ValueError for numbers that are too large, and for characters that cannot be
    written without \\uXXXX, which no grammar allows."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo += [*item, *item.values()]
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, str) and UNWRITABLE.search(item):
            raise ValueError("has a control character")
        elif isinstance(item, int | float) and not abs(item) <= MOST_NUMBER:
            raise ValueError(f"has a number over {MOST_NUMBER:.0e}")
    return value


def points(value: Any) -> float:
    """What a value of `enum` or `const` costs: each member of a list or object is a node of the grammar."""
    text = str(value)
    return len(text) / 150 + (1 + text.count(",") if isinstance(value, list | dict) else 0.1)


def pattern_points(pattern: Any) -> float:
    """What a pattern costs: its text, and the characters that it wants at least."""
    pattern, sums, last = str(pattern), [0], 0
    for piece in PIECES.finditer(pattern[:PATTERN_CHARACTERS]):
        if piece[1]:
            sums[-1] = min(sums[-1] + last * (int(piece[1]) - 1), MOST_NUMBER)
            last = min(last * int(piece[1]), MOST_NUMBER)
        elif piece[0] == "(":
            sums.append(0)
        else:
            last = sums.pop() if piece[0] == ")" and len(sums) > 1 else 1
            sums[-1] += last
    return 3 + len(pattern) / 20 + sum(sums) // FORCED_A_POINT


CHECKS: dict[str, Callable[[Any], Any]] = {
    "type": type_names,
    "const": literal,
    "pattern": text,
    "format": format_name,
    "required": names,
    "minimum": lower_bound,
    "exclusiveMinimum": lower_bound,
    "maximum": upper_bound,
    "exclusiveMaximum": upper_bound,
} | dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), length)
