"""Counts how deep a JSON body is and how many members it has, before anything is parsed.

The gateway has the same code (`sluice.http.json_bounds`) with lower bounds, because it adds members itself.
A parser builds an object for each member first: a MiB of `{},` is 330,000 of them. Counting bytes costs a few
milliseconds and no objects.
"""

import re
from itertools import accumulate

MAX_DEPTH = 110
MAX_MEMBERS = 20_000  # keys of objects and items of arrays; an array of numbers counts as one, however long
FLAT_NUMBERS = re.compile(rb"\[[-+.0-9eE,]*\]")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
OPENING = b"[{"


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
    if outside.count(b",") > MAX_MEMBERS:
        outside = FLAT_NUMBERS.sub(b"0", outside)
    opening = outside.count(b"[") + outside.count(b"{")
    if outside.count(b",") + opening - outside.count(b"[]") - outside.count(b"{}") > MAX_MEMBERS:
        return too_many
    levels = accumulate(1 if byte in OPENING else -1 for byte in outside.translate(None, NOT_BRACKETS))
    if opening > MAX_DEPTH and max(levels) > MAX_DEPTH:
        return f"The body is nested more than {MAX_DEPTH} deep."
    return None
