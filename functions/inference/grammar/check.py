"""Checks a finished answer for what no grammar enforces (ADR 86)."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jsonschema_rs

from functions.inference.errors import UnsupportedSchema
from functions.inference.grammar.late import WHOLE
from functions.inference.grammar.schema import SchemaChecker

MOST_WAYS = 1_000
"""From the root to a schema, references followed: each is followed for each part of an answer, by about 50 ns."""
MOST_LEVELS = 256
"""From the root to a value in the schema, references followed: each takes two of Python's 1,000 frames."""
MOST_CHARACTERS = 100
PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=20_000, size_limit=1 << 20, dfa_size_limit=1 << 20)
"""Patterns without a look around take linear time; others end as not matching after so many steps."""


class AnswerCheck:
    """Of one answer: one JSON text, or one of several calls with arguments."""

    def __init__(
        self, checkers: Sequence[SchemaChecker], read: Callable[[str], tuple[int, str] | None] = lambda text: (0, text)
    ) -> None:
        """`read`: which of `checkers` is for an answer, and the JSON in it. Raises UnsupportedSchema."""
        self._validators = [_validator(checker) if checker.late else None for checker in checkers]
        self._read = read

    def fault(self, text: str) -> str | None:
        """What is wrong with the answer, as the end of a sentence."""
        found = self._read(text)
        return "is no call of a tool" if found is None else _fault(self._validators[found[0]], found[1])


def _fault(validator: Any, text: str) -> str | None:
    if validator is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "is no JSON that can be read"
    error = next(validator.iter_errors(value), None)
    if error is None:
        return None
    place = "/".join(["#", *map(str, error.instance_path)])
    return f"has a fault at {place[:MOST_CHARACTERS]}: {error.message[:MOST_CHARACTERS]}"


def _validator(checker: SchemaChecker) -> Any:
    if len(checker.drafts) > 1:
        raise _uncheckable(checker, "that mixes keywords of draft 7 and of 2020-12")
    if checker.nullable:
        raise _uncheckable(checker, "with `nullable`")
    _count_ways(checker)
    root = checker.document
    if isinstance(root, dict):
        root = {key: value for key, value in root.items() if key not in ("$schema", "$id")}
    kind = jsonschema_rs.Draft7Validator if 7 in checker.drafts else jsonschema_rs.Draft202012Validator
    try:
        return kind(root, validate_formats=True, pattern_options=PATTERNS, offline=True)
    except ValueError as exc:
        place = "/".join(["#", *map(str, getattr(exc, "instance_path", ()))])
        raise checker.refused(place[:MOST_CHARACTERS], f"is not valid: {str(exc).partition(chr(10))[0][:160]}") from exc


def _uncheckable(checker: SchemaChecker, which: str) -> UnsupportedSchema:
    keyword, at = checker.late[0]
    if keyword == WHOLE:
        return checker.refused(
            at, f"is beyond what can be enforced while calls are written; no call can be checked by a schema {which}"
        )
    return checker.refused(at, f"uses `{keyword}`, in a schema {which}")


def _count_ways(checker: SchemaChecker) -> None:
    """Raises UnsupportedSchema where a check could take long: for recursion, and for definitions that are used again
    and again. Counts too much, but never too little: any object in the schema counts as a schema."""
    known: dict[str, int] = {}

    def ways(value: Any, open_refs: frozenset[str], depth: int) -> int:
        if depth > MOST_LEVELS:
            raise _uncheckable(checker, "that is too deep for it")
        if isinstance(value, list):
            return sum(ways(inner, open_refs, depth + 1) for inner in value)
        if not isinstance(value, dict):
            return 0
        ref, count = value.get("$ref"), 1 + sum(ways(inner, open_refs, depth + 1) for inner in value.values())
        if not isinstance(ref, str) or not ref.startswith("#"):
            return count
        if ref in open_refs:
            raise _uncheckable(checker, f"that contains itself ({ref[:80]})")
        if ref not in known:
            known[ref] = ways(checker.target(ref), open_refs | {ref}, depth + 1)
        return count + known[ref]

    if ways(checker.document, frozenset(), 0) > MOST_WAYS:
        raise _uncheckable(checker, "that is too large for it")
