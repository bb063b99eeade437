"""Both tries of an answer that may be checked are reserved, and no others."""

from typing import Any

import pytest

from functions.inference.grammar.check import MOST_CHARACTERS
from functions.inference.grammar.late import LATE, LATE_FORMATS, LOOKS
from sluice.domain.gateway.tries import FAULT_TOKENS, tries_of

LOOKING = ["(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"\bword\b", r"a\B", r"(a)\1", r"(?<n>a)\k<n>"]


def wanted(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


def forced(schema: Any, choice: Any = "required") -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}], "tool_choice": choice}


@pytest.mark.parametrize("keyword", [*LATE, "minProperties", "oneOf"])
def test_two_tries_are_reserved_for_every_keyword_that_the_engine_checks(keyword: str) -> None:
    schema = {"properties": {"a": {keyword: {}}}}
    assert tries_of(wanted(schema)) == 2
    assert tries_of(forced(schema)) == 2
    assert tries_of(forced(schema, {"type": "function", "function": {"name": "f"}})) == 2


@pytest.mark.parametrize("name", sorted(LATE_FORMATS))
def test_two_tries_are_reserved_for_every_format_that_the_engine_checks(name: str) -> None:
    assert tries_of(wanted({"format": name})) == 2


@pytest.mark.parametrize("pattern", LOOKING)
def test_two_tries_are_reserved_for_every_pattern_that_the_engine_checks(pattern: str) -> None:
    assert LOOKS.search(pattern) and LOOKS.search("a" + pattern)
    assert tries_of(wanted({"pattern": pattern})) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"response_format": {"type": "json_object"}},
        wanted({"type": "object", "properties": {"a": {"format": "uri", "pattern": "(?:a|\\d)"}}, "required": ["not"]}),
        forced({"not": {}}, "auto"),
        forced({"not": {}}, None),
        forced({"not": {}}, "none"),
    ],
)
def test_one_try_is_reserved_where_nothing_is_checked(body: dict[str, Any]) -> None:
    assert tries_of(body) == 1


def test_the_message_about_a_fault_fits_what_is_reserved_for_it() -> None:
    assert 4 * 2 * MOST_CHARACTERS + 200 < FAULT_TOKENS  # four bytes a character, place and fault


@pytest.mark.parametrize("more", [{"anyOf": [{}]}, {"allOf": [{}]}, {"$ref": "#/$defs/a"}, {"minLength": 12_000}])
def test_two_tries_are_reserved_for_parameters_that_may_be_checked_as_xml_or_are_large(more: dict[str, Any]) -> None:
    assert tries_of(forced({"type": "object", **more}, "required")) == 2
    assert tries_of(forced({"type": "object", **more}, "auto")) == 1
