"""Counts how deep a JSON body is and how many members it has, before anything is parsed, and says what is wrong in it.

A parser builds an object for each member first: a MiB of `{},` is 330,000 of them. Counting bytes costs a few
milliseconds and no objects.
"""

import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

MAX_DEPTH = 100
MAX_MEMBERS = 10_000  # keys of objects and items of arrays; an array of numbers counts as one
MAX_NUMBERS = 262_144  # in such arrays, together: the tokens of a long context
FLAT_NUMBERS = re.compile(rb"\[[-+.0-9eE,]*\]")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
OPENING = b"[{"
OBJECT = "Input should be an object"
PLAIN = {"model_type": OBJECT, "model_attributes_type": OBJECT, "union_tag_not_found": "Field required"}
Path = tuple[int | str, ...]
MAX_CHARACTERS = 300  # of one message, and of one part of a path


def excess(raw: bytes) -> str | None:
    """What is too large, as a sentence, or None. Text that is no JSON is left to the parser, which stops at its first
    fault: the count up to there is right."""
    opening = raw.count(b"[") + raw.count(b"{")
    if opening <= MAX_DEPTH and raw.count(b",") <= MAX_MEMBERS - MAX_DEPTH:
        return None  # almost every body: even if all of it stood outside strings
    too_many = f"The body has more than {MAX_MEMBERS:,} members: keys of objects and items of arrays."
    if b"\\" in raw:
        raw = raw.replace(rb"\\", b"").replace(rb"\"", b"")  # what is left of `"` begins or ends a string
    if raw.count(b'"') > 4 * MAX_MEMBERS:  # each member has a key and a string at most
        return too_many
    outside = b'"'.join(raw.split(b'"')[::2]).translate(None, b" \t\r\n")
    if outside.count(b"[") + outside.count(b"{") > MAX_MEMBERS + 1:  # all but the outermost are members themselves
        return too_many
    if outside.count(b",") > MAX_MEMBERS + MAX_NUMBERS:
        return f"The body has more than {MAX_NUMBERS:,} numbers."
    if outside.count(b",") > MAX_MEMBERS:
        outside = FLAT_NUMBERS.sub(b"0", outside)
    opening = outside.count(b"[") + outside.count(b"{")
    if outside.count(b",") + opening - outside.count(b"[]") - outside.count(b"{}") > MAX_MEMBERS:
        return too_many
    levels = accumulate(1 if byte in OPENING else -1 for byte in outside.translate(None, NOT_BRACKETS))
    if opening > MAX_DEPTH and max(levels) > MAX_DEPTH:
        return f"The body is nested more than {MAX_DEPTH} deep."
    return None


def located(faults: Iterable[Any], value: Any) -> list[tuple[Path, str]]:
    """Pydantic's errors of `value`, as paths in it and messages.

    Of a union pydantic lists every member's errors. One is left out if another lies below it, because it is of a member
    that the caller did not mean."""
    found = [(_path(fault, value), _message(fault)) for fault in faults]
    above = {path[:length] for path, _ in found for length in range(len(path))}
    return [(path, message[:MAX_CHARACTERS]) for path, message in found if path not in above]


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
    """Without the names of our classes."""
    text: str = PLAIN.get(fault["type"], fault["msg"])
    _, invalid, tags = text.partition("does not match any of the expected tags: ")
    return f"Input should be {tags}" if invalid else text.removeprefix("Value error, ")


def written(path: Path) -> str:
    """As OpenAI writes it: `messages[0].content[1].type`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:MAX_CHARACTERS]}" for part in path)
    return "".join(parts).removeprefix(".")
