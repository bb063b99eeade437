"""Parts of a grammar in GBNF, llama.cpp's notation: the rules of JSON, literals, integer ranges."""

import json
from typing import Any

MOST_DIGITS = 15
"""Most JSON parsers read longer integers inexactly."""

BASE_RULES = {
    "ws": '| " " | "\\n" [ \\t]{0,20}',
    "char": '[^"\\\\\\x7F\\x00-\\x1F] | [\\\\] (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": '"\\"" char* "\\""',
    "integer": f'"-"? ("0" | [1-9] [0-9]{{0,{MOST_DIGITS - 1}}})',
    "number": f'"-"? ("0" | [1-9] [0-9]{{0,{MOST_DIGITS - 1}}}) ("." [0-9]{{1,15}})? ([eE] [-+]? [0-9]{{1,3}})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "object": '"{" ws (string ws ":" ws value ws ("," ws string ws ":" ws value ws)*)? "}"',
    "array": '"[" ws (value ws ("," ws value ws)*)? "]"',
    "value": "object | array | string | number | boolean | null",
    "date": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])',
    "hour-minute": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]',
    "time": 'hour-minute ":" [0-5] [0-9] ("." [0-9]{3})? ("Z" | [-+] hour-minute)',
    "uuid": "[0-9a-f]{8} " + '"-" [0-9a-f]{4} ' * 3 + '"-" [0-9a-f]{12}',
}
STRING_FORMATS = {
    "date": '"\\"" date "\\""',
    "time": '"\\"" time "\\""',
    "date-time": '"\\"" date "T" time "\\""',
    "uuid": '"\\"" uuid "\\""',
}


def quoted(text: str) -> str:
    """A GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def literal(value: Any) -> str:
    """A GBNF literal of a JSON value."""
    return quoted(json.dumps(value, ensure_ascii=False, allow_nan=False))


def integer_range(low: int | None, high: int | None) -> str:
    """Integers from `low` to `high` inclusive; None means no bound. Raises ValueError for an empty range."""
    bound = 10**MOST_DIGITS - 1
    low = -bound if low is None else max(low, -bound)
    high = bound if high is None else min(high, bound)
    if low > high:
        raise ValueError("the range is empty")
    parts = []
    if low < 0:
        parts.append(f'"-" ({_natural_range(max(1, -high), -low)})')
    if high >= 0:
        parts.append(_natural_range(max(0, low), high))
    return " | ".join(parts)


def _natural_range(low: int, high: int) -> str:
    parts = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (digits - 1) if digits > 1 else 0)
        last = min(high, 10**digits - 1)
        parts.append(_same_length(str(first), str(last)))
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Numbers with equally many digits, split at the first digit in which the bounds differ."""
    if not low:
        return ""
    rest = len(low) - 1
    if low[0] == high[0]:
        return f'"{low[0]}" {_group(_same_length(low[1:], high[1:]))}'.rstrip()
    first, last = int(low[0]), int(high[0])
    parts = []
    if low[1:].strip("0"):  # otherwise the lower bound's whole decade is included
        parts.append(f'"{first}" {_group(_same_length(low[1:], "9" * rest))}')
        first += 1
    tail = ""
    if high[1:].strip("9"):
        tail = f'"{last}" {_group(_same_length("0" * rest, high[1:]))}'
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}]" + (f" [0-9]{{{rest}}}" if rest else ""))
    return " | ".join([*parts, tail] if tail else parts)


def _group(expression: str) -> str:
    return f"({expression})" if "|" in expression else expression
