import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.inference.grammar.gbnf import MOST_DIGITS, integer_range, literal
from functions.inference.grammar.parse_states import RuleShape, is_narrow
from functions.inference.grammar.schema_grammar import SchemaRefused, grammar_of

BOUND = 10**MOST_DIGITS - 1


def matches(expression: str, number: int) -> bool:
    """Integer ranges use literals, classes, repetitions and groups only, so a regular expression says the same."""
    pattern = re.sub(r'"([^"]*)"', lambda m: re.escape(m[1]), expression).replace(" ", "")
    return re.fullmatch(pattern, str(number)) is not None


@given(st.integers(-2000, 2000), st.integers(-2000, 2000), st.data())
def test_an_integer_range_holds_exactly_its_numbers(one: int, other: int, data: st.DataObject) -> None:
    low, high = sorted((one, other))
    expression = integer_range(low, high)
    for number in (low, high, data.draw(st.integers(low, high))):
        assert matches(expression, number), (expression, number)
    for number in (low - 1, high + 1, data.draw(st.integers(-3000, 3000))):
        assert matches(expression, number) == (low <= number <= high), (expression, number)


@given(st.integers(-BOUND, BOUND), st.integers(-BOUND, BOUND))
def test_open_ranges_reach_the_largest_numbers(bound: int, number: int) -> None:
    assert matches(integer_range(bound, None), number) == (number >= bound)
    assert matches(integer_range(None, bound), number) == (number <= bound)


def test_an_empty_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        integer_range(2, 1)


def test_numbers_have_no_leading_zeros() -> None:
    assert not re.fullmatch(re.sub(r'"([^"]*)"', r"\1", integer_range(0, 200)).replace(" ", ""), "007")


def test_literals_are_escaped_twice() -> None:
    assert literal('a"b\\') == r'"\"a\\\"b\\\\\""'


def test_equal_schemas_share_a_rule() -> None:
    grammar = grammar_of({"type": "array", "prefixItems": [{"enum": [1, 2]}, {"enum": [1, 2]}]})
    assert grammar.count('"1" | "2"') == 1


def tower(levels: int) -> dict[str, Any]:
    """Two array branches a level: 2**levels parse states."""
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(levels):
        options = [{"type": "array", "items": schema}, {"type": "array", "items": schema, "minItems": 1}]
        schema = {"anyOf": options}
    return schema


def test_a_grammar_with_too_many_parse_states_is_refused() -> None:
    assert grammar_of(tower(4))
    with pytest.raises(SchemaRefused, match="alternatives"):
        grammar_of(tower(7))


def test_a_recursion_through_alternatives_of_different_kinds_is_accepted() -> None:
    assert grammar_of({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "string"}]})


def test_a_recursion_through_two_equal_alternatives_is_refused() -> None:
    arrays = [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"type": "null"}}]
    with pytest.raises(SchemaRefused):
        grammar_of({"anyOf": arrays})


def test_any_value_counts_as_object_and_array() -> None:
    shapes = {"root": RuleShape("union", ["value", "list"]), "list": RuleShape("array", ["root"])}
    assert not is_narrow(shapes, "root")


@pytest.mark.timeout(60)
def test_a_schema_of_a_thousand_nodes_is_accepted_or_refused_in_bounded_time() -> None:
    wide = {"type": "object", "properties": {f"p{n}": tower(2) for n in range(100)}}
    assert grammar_of(wide)
    with pytest.raises(SchemaRefused):
        grammar_of({"type": "array", "prefixItems": [wide] * 20})


KEYWORDS = st.sampled_from(["type", "anyOf", "items", "properties", "$ref", "enum", "required"])
LEAF = st.none() | st.booleans() | st.text(max_size=3)


@given(st.recursive(LEAF, lambda kids: st.lists(kids) | st.dictionaries(KEYWORDS, kids)))
def test_any_invalid_schema_is_refused_without_a_crash(schema: object) -> None:
    try:
        assert grammar_of(schema).startswith("root ::= ")
    except SchemaRefused as refused:
        assert str(refused)
