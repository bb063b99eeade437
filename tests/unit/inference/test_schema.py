"""What the checker makes of a schema, what it counts, and what it says of one that it refuses, keyword by keyword."""

import re
from math import nan
from typing import Any

import pytest

from functions.inference.errors import InvalidRequest, UnsupportedSchema
from functions.inference.grammar.keywords import FORMATS, digits, points
from functions.inference.grammar.nodes import Place
from functions.inference.grammar.response_format import grammar_for
from functions.inference.grammar.rewrite import EXACT, NUMBER
from functions.inference.grammar.schema import MOST_POINTS, WRITING, SchemaChecker
from functions.inference.openai.requests import ResponseFormat
from tests.unit.inference.schemas import Schema, deep

E15 = 10**15
NULL: Schema = {"type": "null"}
DATE: Schema = {"type": "string", "format": "date"}
A: Schema = {"$defs": {"A": NULL}}
OF_A: Schema = {"$ref": "#/$defs/A"}
OBJECT: Schema = {"properties": {"a": {}}}
CLOSED: Schema = {**OBJECT, "additionalProperties": False}
LOOP: Schema = {"minLength": 1, **OF_A, "$defs": {"A": {"properties": {"a": OF_A}}}}
ESCAPED: Schema = {"anyOf": [{}, {"properties": {"a/b~c": NULL}}], "$ref": "#/items/anyOf/1/properties/a~1b~0c"}


def nested(levels: int) -> Schema:
    return {"anyOf": [nested(levels - 1)]} if levels else NULL


def chain(length: int, **beside: int) -> Schema:
    """Each definition is a reference to the next one."""
    defs = {str(n): {**beside, "$ref": f"#/$defs/{n + 1}"} for n in range(1, length)}
    return {**beside, "$ref": "#/$defs/1", "$defs": defs | {str(length): NULL}}


def renamed(value: Any) -> Any:
    """A short name for the definitions that stand for a `oneOf`."""
    if isinstance(value, dict):
        return {re.sub(r"one-of-\d+", "one", name): renamed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner) for inner in value]
    return re.sub(r"one-of-\d+", "one", value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("document", "rewritten", "spent"),
    [  # None: as it is
        ({"type": "string", "title": "x", "$schema": "y", "x-guidance": {}, "$id": "z"}, {"type": "string"}, 1),
        ({"type": ["string", "null"], "pattern": "a", "format": "date"},
         {"type": ["string", "null"], "pattern": "a", "format": "date", "allOf": [{"pattern": EXACT["date"]}]},
         8.65),
        ({"format": "uri", "minLength": 1, "maxLength": 2083}, {"format": "uri", "minLength": 1, "maxLength": 400}, 1),
        ({"format": "ipv4", "minLength": 0, "maxLength": 399}, None, 1),
        ({"properties": {"a": DATE, "b": DATE}},
         {"properties": {"a": {"$ref": "#/$defs/date"}, "b": {"$ref": "#/$defs/date"}}, "additionalProperties": False,
          "$defs": {"date": DATE | {"allOf": [{"pattern": EXACT["date"]}]}}}, 9),
        ({"properties": {"a": {"type": "number"}}},
         {"properties": {"a": {"$ref": "#/$defs/number"}}, "additionalProperties": False, "$defs": {"number": NUMBER}},
         7),
        ({"type": ["number", "null"]}, {"type": ["number", "null"], "minimum": -E15}, 6),
        ({"type": "number", "multipleOf": 0.5}, None, 2.7),
        ({"contains": {"const": 1}}, {"minItems": 1}, 2.107),
        ({"contains": {}, "minContains": 0, "minItems": 0}, {"minItems": 0}, 2),
        ({"propertyNames": {"enum": ["b"]}, "additionalProperties": NULL},
         {"properties": {"b": NULL}, "additionalProperties": False}, 3),
        ({"propertyNames": {"const": "b"}}, {"properties": {"b": True}, "additionalProperties": False}, 3),
        ({"propertyNames": {"pattern": "^b"}, "required": ["b"]},
         {"patternProperties": {"^b": True}, "additionalProperties": False, "required": ["b"]}, 6.475),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "minItems": 1},
         {"type": "array", "enum": [["a"], ["b"], ["a", "b"], ["b", "a"]]}, 7.6),
        ({"type": "array", "items": {"enum": list("abcde")}, "uniqueItems": True},
         {"type": "array", "items": {"enum": list("abcde")}, "maxItems": 5}, 3.033),
        ({"patternProperties": {"^b": True}}, {"patternProperties": {"^b": True}, "additionalProperties": False},
         5.225),
        ({"type": "string", "format": "phone", "pattern": "a"}, {"type": "string", "pattern": "a"}, 5.65),
        ({"minLength": 0, "maxLength": 100_000}, None, 1),
        ({"minLength": 41}, None, 6),
        ({"pattern": "^(a{10}[b)]){10}\\{5}(c|d{0,9})$"}, None, 21.15),
        ({"type": "integer", "format": "int64", "maximum": E15 + 1}, {"type": "integer", "maximum": E15}, 6),
        ({"minimum": -E15 - 1, "maximum": -E15}, {"minimum": -E15, "maximum": -E15}, 6),
        ({"minimum": E15, "exclusiveMinimum": 0.5, "exclusiveMaximum": 0.75}, None, 6),
        ({"exclusiveMinimum": 10**12, "exclusiveMaximum": -(10**12)},
         {"minimum": 1e12 + 0.01, "maximum": -1e12 - 0.01}, 6),
        ({"exclusiveMinimum": 0, "minimum": -1, "exclusiveMaximum": 0, "maximum": 1},
         {"minimum": 1e-9, "maximum": -1e-9}, 6),
        ({"exclusiveMinimum": 0, "minimum": 1, "exclusiveMaximum": 5, "maximum": 1}, {"minimum": 1, "maximum": 1}, 6),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9}, None, 6),
        ({"minimum": 1, "exclusiveMinimum": True, "maximum": 9.5, "exclusiveMaximum": True},
         {"minimum": 1 + 1e-9, "exclusiveMaximum": 9.5}, 6),
        ({"minimum": 1, "exclusiveMinimum": False, "exclusiveMaximum": True}, {"minimum": 1}, 6),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}, 1),
        ({"type": ["string"], "nullable": True}, {"type": ["string", "null"]}, 1),
        ({"type": "string", "nullable": "yes"}, {"type": "string"}, 1),
        ({"nullable": True}, {}, 1),
        ({"minItems": 2.0, "uniqueItems": False, "propertyNames": {"type": "string"}}, {"minItems": 2}, 1),
        ({"items": [{}, True], "additionalItems": NULL}, {"prefixItems": [{}, True], "items": NULL}, 4),
        ({"items": [NULL]}, {"prefixItems": [NULL], "items": False, "minItems": 1}, 2),
        ({"items": NULL, "additionalItems": False}, {"items": NULL}, 2),
        ({"prefixItems": [{}], "maxItems": 1}, None, 2),
        ({"prefixItems": [{}], "minItems": 1}, None, 2),
        (True, {}, 1),
        ({**OBJECT, "required": ["a"]}, {**CLOSED, "required": ["a"]}, 2.25),
        ({**OBJECT, "required": ["b"]}, None, 2.25),
        ({**OBJECT, "additionalProperties": NULL}, None, 3),
        ({**OBJECT, "patternProperties": {"^b": True, "^c": {}}}, None, 10.7),
        ({"minProperties": 1}, None, 1),
        ({"minProperties": 2, "required": ["a", "b"]}, None, 1.5),
        ({"allOf": [{"required": ["a", "b"]}, {"required": ["c"]}]}, None, 6),
        ({"enum": ["a", E15, -E15, True, None, [1], {"a": 1}]}, None, 4.553),
        ({"const": {"a": [E15]}}, None, 5.167),
        ({"multipleOf": 0.5}, None, 2.7),
        ({"anyOf": [{"multipleOf": 8}, {"multipleOf": 625}]}, None, 6.6),
        ({"anyOf": [True, OBJECT]}, {"anyOf": [True, CLOSED]}, 4.2),
        ({"allOf": [OBJECT]}, {"allOf": [CLOSED]}, 3),
        ({"allOf": [OBJECT, {"prefixItems": [{}]}]}, None, 5),
        ({"allOf": [NULL], **OF_A, **A}, {"allOf": [NULL, NULL]}, 3),
        ({"type": "object", "anyOf": [OBJECT]}, {"type": "object", "anyOf": [CLOSED]}, 3.1),
        ({"minLength": 1, "anyOf": [OBJECT]}, None, 3.1),
        ({**OF_A, "minLength": 1, **A}, {"allOf": [NULL], "minLength": 1}, 2),
        ({**OF_A, **A}, {"$ref": "#/$defs/0", "$defs": {"0": NULL}}, 2),
        ({"$ref": "#a", "$id": "x", "$defs": {"A": {"not": [NULL | {"$anchor": "a"}]}}},
         {"$ref": "#/$defs/0", "$defs": {"0": NULL}}, 2),
        ({"$ref": "#/$defs/%C3%A9%25%20~1", "$defs": {"é% /": NULL}}, {"$ref": "#/$defs/0", "$defs": {"0": NULL}}, 2),
        ({"items": {"$ref": "#"}},
         {"items": {"$ref": "#/$defs/0"}, "$defs": {"0": {"items": {"$ref": "#/$defs/0"}}}}, 4),
        ({"items": ESCAPED}, {"items": {"anyOf": ESCAPED["anyOf"], "allOf": [NULL]}}, 6.2),
        ({"oneOf": [OF_A, {"properties": {"a": {"$ref": "#"}}}], **A},
         {"$ref": "#/$defs/one", "$defs": {"0": {"$ref": "#/$defs/one"},
          "one": {"oneOf": [NULL, {**CLOSED, "properties": {"a": {"$ref": "#/$defs/0"}}}]}}}, 5.2),
        ({"oneOf": [{**OF_A, "minLength": 1}], **A},
         {"$ref": "#/$defs/one", "$defs": {"one": {"oneOf": [{"allOf": [NULL], "minLength": 1}]}}}, 3.1),
        ({"oneOf": [OF_A], "minLength": 1, **A}, {"oneOf": [NULL], "minLength": 1}, 2.1),
        (LOOP, {"minLength": 1, "allOf": [{"properties": {"a": {"allOf": [{"$ref": "#/$defs/0"}]}}}],
                "$defs": {"0": {**CLOSED, "properties": {"a": {"$ref": "#/$defs/0"}}}}}, 5),
    ],
)  # fmt: skip
def test_a_schema_is_rewritten_and_counted(document: Schema, rewritten: Schema, spent: float) -> None:
    checker = SchemaChecker(document, "p")
    found = checker.checked()
    assert found.pop("x-guidance") == WRITING
    assert renamed(found) == {"$defs": {}, **(document if rewritten is None else rewritten)}
    assert round(MOST_POINTS - checker.points, 3) == spent


LARGE = "is too large or too deep"
ALTERNATIVES = "over 256 alternatives"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (False, "# allows no value."),
        ([], "# is no schema: it must be an object or a boolean."),
        ({"properties": {"X": 1}}, "#/properties/X is no schema"),
        ({"items": 1}, "#/items is no schema"),
        ({"items": {"$id": "x"}}, "#/items uses `$id`, which is supported for the whole schema only."),
        ({"then": {}, "$dynamicRef": "#a"}, "# uses `$dynamicRef`, which is not supported."),
        ({"not": {"items": 1}}, "#/not/items is no schema"),
        ({"dependentSchemas": {"a": {"type": "x"}}}, "#/dependentSchemas/a has a `type` that is none."),
        ({"type": "text"}, "# has a `type` that is none."),
        ({"type": []}, "# has a `type` that is none."),
        ({"type": ["string", 1]}, "# has a `type` that is none."),
        ({"minLength": True}, "# has a `minLength` that must be a whole number."),
        ({"minLength": "1"}, "must be a whole number."),
        ({"minLength": 1.5}, "must be a whole number."),
        ({"minLength": -1}, "must be between 0 and 100,000."),
        ({"maxItems": 100_001}, "# has a `maxItems` that must be between 0 and 100,000."),
        ({"type": "string", "pattern": 5}, "# has a `pattern` that must be a string."),
        ({"format": ["date"]}, f"# has a `format` that is not one of {', '.join(FORMATS)}."),
        ({"format": "phone"}, f"# has a `format` that is not one of {', '.join(FORMATS)}."),
        ({"required": "a"}, "# has a `required` that must be a list of strings."),
        ({"required": ["a", 1]}, "must be a list of strings."),
        ({"required": [f"a{n}" for n in range(129)]}, "# has more than 128 `required`."),
        ({"minimum": True}, "# has a `minimum` that must be a number up to 1e+15."),
        ({"exclusiveMinimum": "1"}, "must be a number up to 1e+15."),
        ({"minimum": E15 + 1}, "must be a number up to 1e+15."),
        ({"maximum": True}, "# has a `maximum` that must be a number from -1e+15."),
        ({"exclusiveMaximum": "1"}, "must be a number from -1e+15."),
        ({"maximum": -E15 - 1}, "must be a number from -1e+15."),
        ({"multipleOf": 5001}, "# has a `multipleOf` with which the least common multiple of all is over 5,000."),
        ({"anyOf": [{"multipleOf": 71}, {"multipleOf": 73}]}, "#/anyOf/1 has a `multipleOf` with which the least"),
        ({"multipleOf": 0}, "# has a `multipleOf` that must be a number from 1e-6 to 1e9."),
        ({"enum": {}}, "# has an `enum` that is no list of values."),
        ({"enum": []}, "# has an `enum` that is no list of values."),
        ({"enum": [[E15 + 1]]}, "# has an `enum` that has a number over 1e+15."),
        ({"const": {"a": -E15 - 1}}, "# has a `const` that has a number over 1e+15."),
        ({"const": {"a": E15 + 1, "b": [1]}}, "has a number over"),
        ({"const": nan}, "has a number over"),
        ({"enum": ["a\0"]}, "# has an `enum` that has a control character."),
        ({"const": {"\x1b": 1}}, "# has a `const` that has a control character."),
        ({"properties": {"a": {}, "\ud800": {}}}, "# has a `properties` that has a control character."),
        ({"required": ["\x07"]}, "# has a `required` that has a control character."),
        ({"anyOf": {}}, "# has an `anyOf` that is no list of schemas."),
        ({"oneOf": []}, "# has an `oneOf` that is no list of schemas."),
        ({"anyOf": [{}, 1]}, "#/anyOf/1 is no schema"),
        ({"properties": {"a": {"allOf": [1]}}}, "#/properties/a/allOf/0 is no schema"),
        ({"properties": []}, "# has `properties` that are no object."),
        ({"properties": {f"p{n}": {} for n in range(129)}}, "# has more than 128 `properties`."),
        ({"prefixItems": {}}, "# has `prefixItems` that are no list."),
        ({"prefixItems": [{}, 1]}, "#/prefixItems/1 is no schema"),
        ({"$ref": 1}, "# has a `$ref` that does not lead into the schema itself (#…)."),
        ({"$ref": "a#/$defs/A", **A}, "# has a `$ref` that does not lead into the schema itself (#…)."),
        ({"$ref": "#a"}, "# has a `$ref` to #a, which does not exist."),
        ({"$ref": "#a/b", "$defs": {"A": {"$anchor": "a/b"}}}, "# has a `$ref` to #a/b, which does not exist."),
        ({"$ref": "#a", "allOf": [{"$anchor": "a"}, {"$anchor": "a"}]}, "# has a `$ref` to #a, which does not exist."),
        ({"$ref": "#a", "const": {"$anchor": "a"}}, "# has a `$ref` to #a, which does not exist."),
        ({"$ref": "#a", "$defs": {"A": {"$id": "x", "not": {"$anchor": "a"}}}}, "which does not exist."),
        ({"$ref": "#/$defs/A/items", "$defs": {"A": {"$id": "x", "items": {}}}}, "which does not exist."),
        ({"items": {"$anchor": "a", "$ref": "#a"}}, "has a `$ref` that refers to itself without end."),
        ({"$ref": "#"}, "# has a `$ref` that refers to itself without end."),
        ({"anyOf": [{"$ref": "#"}, {}]}, "#/anyOf/0 has a `$ref` that refers to itself without end."),
        ({**OF_A, "minLength": 1, "$defs": {"A": OF_A}}, "#/$defs/A has a `$ref` that refers to itself without end."),
        ({**OF_A, "minLength": 1, "$defs": {"A": {"$ref": "#/$defs/B"}, "B": OF_A}}, "#/$defs/B has a `$ref` that"),
        ({"$ref": "#/" + "x" * 99}, f"# has a `$ref` to #/{'x' * 78}, which does not exist."),
        ({"anyOf": [{"$ref": "#/anyOf/2"}, {}]}, "#/anyOf/0 has a `$ref` to #/anyOf/2, which does not exist."),
        ({"anyOf": [{"$ref": "#/anyOf/0000000002"}, {}]}, "`$ref` to #/anyOf/0000000002, which does not exist."),
        ({"anyOf": [{"$ref": "#/anyOf/000000000" + "1" * 5000}, {}]}, "which does not exist."),
        ({"anyOf": [{"$ref": "#/anyOf/²"}, {}]}, "which does not exist."),
        ({"$ref": "#/$defs/A/type/x", **A}, "which does not exist."),
        (deep(65), f"{('#' + '/items' * 65)[:200]} {LARGE}."),
        (nested(65), f"{('#' + '/anyOf/0' * 65)[:200]} {LARGE}."),
        (chain(65), f"#/$defs/65 {LARGE}."),
        (chain(65, minLength=1), f"#/$defs/65 {LARGE}."),
        ({"minLength": 1, "anyOf": [{"enum": [0] * 129}, {"enum": [0] * 2}]}, f"with this `enum`, {ALTERNATIVES}."),
        ({"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}, {"pattern": "c"}]}, "with this `pattern`"),
        ({"allOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, "#/allOf/1 combines, with this `multipleOf`, over 256"),
        ({"minLength": 1, "items": {}, "anyOf": [{}] * 257}, f"# combines, with this `anyOf`, {ALTERNATIVES}."),
        ({"allOf": [{"properties": {"a": {"enum": [1] * 17}}}] * 2}, "#/allOf/1/properties/a combines, with"),
        ({"allOf": [{"items": {"enum": [1] * 17}}] * 2}, "#/allOf/1/items combines, with this `enum`"),
        ({"patternProperties": {f"a{n}": {} for n in range(90)}}, f"# {LARGE}."),
        ({"enum": ["a" * 100_000] * 2}, f"# {LARGE}."),
        ({"const": "a" * 200_000}, f"# {LARGE}."),
        ({"pattern": "a" * 20_000}, f"# {LARGE}."),
    ],
)  # fmt: skip
def test_a_refused_schema_is_told_where_and_why(document: Schema, said: str) -> None:
    with pytest.raises(UnsupportedSchema) as refused:
        SchemaChecker(document, "p").checked()
    assert refused.value.param == "p"
    message = str(refused.value)
    assert message.startswith("The schema at #") and message.endswith(".")
    assert said in message and (said[0] != "#" or message.startswith(f"The schema at {said}")), message


@pytest.mark.parametrize(
    "document",
    [
        deep(64),
        nested(64),
        chain(64),
        chain(64, minLength=1),
        {"multipleOf": 5000},
        {"properties": {f"p{n}": {} for n in range(128)}},
        {"minLength": 1, "anyOf": [{"enum": [0] * 128}, {}]},
        {"allOf": [{"properties": {"a": {"enum": [1] * 16}, "b": {"enum": [1] * 16}}}] * 2},
        {"anyOf": [{"$ref": "#/anyOf/000000001"}, {}]},
        {"minimum": -E15, "anyOf": [{"anyOf": [{}] * 16}, {}]},
    ],
)
def test_a_schema_at_a_bound_is_accepted(document: Schema) -> None:
    SchemaChecker(document, "p").checked()


def test_every_place_is_a_schema_of_its_own_inner_ones_first() -> None:
    checker = SchemaChecker({"properties": {"a": NULL, "b": {"oneOf": [True]}, "c": {"oneOf": [False]}}}, "p")
    found = checker.checked()["properties"]
    assert found["b"] != found["c"]
    parts = checker.parts()
    assert [at for at, _ in parts] == ["#/properties/" + name for name in "abbcc"] + ["#"]
    assert [part["x-guidance"] for _, part in parts] == [WRITING] * 6
    assert parts[0][1]["type"] == "null"
    assert parts[1][1]["oneOf"] == [True]


def test_a_place_has_a_bounded_name() -> None:
    assert Place("#").down("properties", "x" * 300).at == "#/properties/" + "x" * 187


@pytest.mark.parametrize(("value", "found"), [(1e-6, 1), (0.037, 37), (0.5, 5), (3, 3), (10, 10), (1e9, 10**9)])
def test_digits_are_counted_without_the_point(value: float, found: int) -> None:
    assert digits(value) == found


@pytest.mark.parametrize("value", [True, "1", 9e-7, 1e9 + 1])
def test_a_multiple_outside_the_bounds_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a number from 1e-6 to 1e9"):
        digits(value)


def test_a_literals_members_cost_a_node_each() -> None:
    assert [round(points(value), 2) for value in ("x" * 150, "a,b", [1, 2], {"a": 1})] == [1.1, 0.12, 2.04, 1.05]


def test_a_response_format_is_a_schema_or_none() -> None:
    assert grammar_for(None) is None
    assert grammar_for(ResponseFormat(type="text")) is None
    (checker,) = (grammar_for(ResponseFormat(type="json_object")) or pytest.fail()).checkers
    assert (checker.param, checker.parts()[0][1]["type"]) == ("response_format", "object")
    for given in ({"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "x"}}):
        with pytest.raises(InvalidRequest, match="needs a `schema`") as refused:
            grammar_for(ResponseFormat.model_validate(given))
        assert refused.value.param == "response_format.json_schema"
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": "é"}}}
    grammar = grammar_for(ResponseFormat.model_validate(named))
    assert grammar is not None and '{"grammars": [{"json_schema": {"const": "é"' in grammar.text
    named["json_schema"] = {"name": "x", "schema": False}
    with pytest.raises(UnsupportedSchema) as hopeless:
        grammar_for(ResponseFormat.model_validate(named))
    assert hopeless.value.param == "response_format"
