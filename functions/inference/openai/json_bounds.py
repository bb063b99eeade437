"""Counts how deep a JSON body is and how many members it has, before anything is parsed, and says what is wrong in it.

The gateway has the same code (`sluice.http.json_bounds`) with lower bounds, because it adds members itself.
A parser builds an object for each member first: a MiB of `{},` is 330,000 of them. Counting bytes costs a few
milliseconds and no objects.
"""

import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

MAX_DEPTH = 110
MAX_MEMBERS = 20_000  # keys of objects and items of arrays; an array of numbers counts as one
MAX_NUMBERS = 262_144  # in such arrays, together: the tokens of a long context
FLAT_NUMBERS = re.compile(rb"\[[-+.0-9eE,]*\]")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
OPENING = b"[{"
PLAIN: dict[str, str] = {
    "missing": "is required",
    "union_tag_not_found": "is required",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be {expected_tags}",
    "extra_forbidden": "is not known here",
    "none_required": "is not supported here",
}
"""What pydantic's kinds of faults mean to the caller, after the field's name. Their own wording speaks of Python."""
BE = "must be "
Path = tuple[int | str, ...]
MAX_CHARACTERS = 300  # of one message, and of one part of a path


def excess(raw: bytes, most_members: int = MAX_MEMBERS) -> str | None:
    """What is too large, as a sentence, or None. Text that is no JSON is left to the parser, which stops at its first
    fault: the count up to there is right."""
    opening = raw.count(b"[") + raw.count(b"{")
    if opening <= MAX_DEPTH and raw.count(b",") <= most_members - MAX_DEPTH:
        return None  # almost every body: even if all of it stood outside strings
    too_many = f"The body has more than {most_members:,} members: keys of objects and items of arrays."
    if b"\\" in raw:
        raw = raw.replace(rb"\\", b"").replace(rb"\"", b"")  # what is left of `"` begins or ends a string
    if raw.count(b'"') > 4 * most_members:  # each member has a key and a string at most
        return too_many
    outside = b'"'.join(raw.split(b'"')[::2]).translate(None, b" \t\r\n")
    if outside.count(b"[") + outside.count(b"{") > most_members + 1:  # all but the outermost are members themselves
        return too_many
    if outside.count(b",") > most_members + MAX_NUMBERS:
        return f"The body has more than {MAX_NUMBERS:,} numbers."
    if outside.count(b",") > most_members:
        outside = FLAT_NUMBERS.sub(b"0", outside)
    opening = outside.count(b"[") + outside.count(b"{")
    if outside.count(b",") + opening - outside.count(b"[]") - outside.count(b"{}") > most_members:
        return too_many
    levels = accumulate(1 if byte in OPENING else -1 for byte in outside.translate(None, NOT_BRACKETS))
    if opening > MAX_DEPTH and max(levels) > MAX_DEPTH:
        return f"The body is nested more than {MAX_DEPTH} deep."
    return None


def located(faults: Iterable[Any], value: Any) -> list[tuple[Path, str]]:
    """Pydantic's errors of `value`, as paths in it and messages, one for each path.

    Of a union pydantic lists every member's errors. One is left out if another lies below it, because it is of a member
    that the caller did not mean. Of several for one value, the one says most that is not about the value's type."""
    found: dict[Path, list[str]] = {}
    for fault in faults:
        found.setdefault(_path(fault, value), []).append(_message(fault))
    above = {path[:length] for path in found for length in range(len(path))}
    return [(path, _of_all(messages)[:MAX_CHARACTERS]) for path, messages in found.items() if path not in above]


def _of_all(messages: list[str]) -> str:
    special = next((message for message in messages if not message.startswith(BE)), None)
    return special or BE + " or ".join(dict.fromkeys(message.removeprefix(BE) for message in messages))


def _path(fault: Any, value: Any) -> Path:
    """The path without pydantic's names of union members (`str`, `list[str]`), which are no keys of the caller."""
    path: list[int | str] = []
    for part in fault["loc"]:
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]
            path.append(part)
        elif fault["type"] == "missing" and part == fault["loc"][-1]:
            path.append(part)
    return (*path, "type") if fault["type"].startswith("union_tag") else tuple(path)


def _message(fault: Any) -> str:
    """In plain words, without the names of our classes."""
    context = fault.get("ctx", {})
    if context.get("min_length") == 1:
        return "must not be empty"
    numbers = {name: int(value) for name, value in context.items() if isinstance(value, float) and value.is_integer()}
    known = PLAIN.get(fault["type"])
    text: str = fault["msg"]
    return known.format(**context | numbers) if known else text.removeprefix("Value error, ")


def written(path: Path) -> str:
    """As OpenAI writes it: `messages[0].content[1].type`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:MAX_CHARACTERS]}" for part in path)
    return "".join(parts).removeprefix(".")
