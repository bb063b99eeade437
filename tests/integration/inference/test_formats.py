"""response_format and tools with the real model: its output always has the requested format."""

import json
import re
from typing import Any

import jsonschema
import pytest

from tests.integration.inference.server import Server

CHAT = "/v1/chat/completions"
JSON_QUESTION = "Give the capital of France as JSON."


def schema(document: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": document}}}


def obj(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def test_json_object_does_not_change_a_valid_answer(server: Server) -> None:
    answer = server.says(JSON_QUESTION, response_format={"type": "json_object"})
    assert json.loads(answer) == {"country": "France", "capital": "Paris"}


def test_json_object_forces_json_where_the_model_would_write_text(server: Server) -> None:
    choice = server.chat("Count to 9.", response_format={"type": "json_object"}, max_tokens=300)["choices"][0]
    assert choice["message"]["content"].startswith("{")
    if choice["finish_reason"] == "stop":
        json.loads(choice["message"]["content"])


def test_the_answer_has_the_keys_of_the_schema(server: Server) -> None:
    wanted = schema(obj(country={"type": "string", "maxLength": 20}, capital={"type": "string", "maxLength": 20}))
    assert json.loads(server.says(JSON_QUESTION, **wanted)) == {"country": "France", "capital": "Paris"}


@pytest.mark.parametrize(
    ("document", "allowed"),
    [
        ({"enum": ["red", "green"]}, lambda v: v in ("red", "green")),
        ({"const": {"a": [1, None, 'quote " and \\ slash']}}, lambda v: v == {"a": [1, None, 'quote " and \\ slash']}),
        ({"type": "integer", "minimum": 17, "maximum": 123}, lambda v: 17 <= v <= 123),
        ({"type": "integer", "exclusiveMinimum": -30, "maximum": -5}, lambda v: -30 < v <= -5),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}, lambda v: 2 <= len(v) <= 3),
        ({"type": "string", "minLength": 3, "maxLength": 5}, lambda v: 3 <= len(v) <= 5),
        ({"type": "string", "format": "date"}, lambda v: len(v.split("-")) == 3),
        ({"type": "string", "format": "uuid"}, lambda v: len(v) == 36),
        ({"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}]}, lambda v: v == [1, None]),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, lambda v: v is None or isinstance(v, bool)),
        (obj(a={"type": "integer", "maximum": 99, "minimum": 0}, b={"type": "null"}), lambda v: set(v) == {"a", "b"}),
        (
            obj(a={"$ref": "#N"}) | {"$defs": {"N": {"$anchor": "N", "enum": ["x", "y"]}}},
            lambda v: v["a"] in ("x", "y"),
        ),
    ],
)
def test_answers_satisfy_the_schema(server: Server, document: object, allowed: Any) -> None:
    for seed in range(3):
        choice = server.chat("What is 3 + 4?", temperature=1.5, seed=seed, max_tokens=200, **schema(document))[
            "choices"
        ][0]
        assert choice["finish_reason"] == "stop", choice
        assert allowed(json.loads(choice["message"]["content"]))


def test_optional_properties_are_in_order_or_left_out(server: Server) -> None:
    document = {"type": "object", "properties": {k: {"type": "boolean"} for k in "abcd"}, "required": ["b"]}
    seen = set()
    for seed in range(8):
        value = json.loads(server.says("Count to 3.", temperature=2, seed=seed, max_tokens=200, **schema(document)))
        assert "b" in value
        assert list(value) == sorted(value)
        seen.add(tuple(value))
    assert len(seen) > 1


def test_a_recursive_schema_works(server: Server) -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}
    document = {"$ref": "#/$defs/node", "$defs": {"node": node | {"required": ["next"]}}}
    choice = server.chat("Count to 3.", max_tokens=200, temperature=1, seed=3, **schema(document))["choices"][0]
    assert choice["message"]["content"].startswith("{")
    if choice["finish_reason"] == "stop":
        assert "next" in json.loads(choice["message"]["content"])


DEEP: dict[str, Any] = {"type": "null"}
for _level in range(80):
    DEEP = {"type": "array", "items": DEEP}
HOSTILE = {
    "huge repetition": {"type": "array", "items": {"type": "null"}, "minItems": 10**9},
    "long string": {"type": "string", "maxLength": 10**12},
    "negative length": {"type": "string", "minLength": -1},
    "empty range": {"type": "integer", "minimum": 5, "maximum": 4},
    "refers to itself": {"$ref": "#"},
    "left recursion": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    "too deep": DEEP,
    "too many properties": {"type": "object", "properties": {f"p{n}": {} for n in range(129)}},
    "too many values": {"enum": list(range(9_000))},
    "nothing allowed": False,
    "no schema": "string",
    "wrong type": {"type": "strang"},
    "no pattern": {"type": "string", "pattern": "["},
    "dangling reference": {"$ref": "#/$defs/none"},
    "foreign reference": {"$ref": "https://example.com/schema.json"},
    "properties as a list": {"type": "object", "properties": []},
}


@pytest.mark.timeout(240)  # with the start of the server; without a limit, the test could run for ever
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_a_400_in_bounded_time(server: Server, name: str) -> None:
    refused(server, schema(HOSTILE[name]), "", "response_format")
    assert server.says("What is 3 + 4?") == "7"


def refused(server: Server, fields: dict[str, Any], words: str, param: str) -> None:
    response = server.post(CHAT, {"model": "demo", "messages": [{"role": "user", "content": "hi"}]} | fields)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"].startswith(param), error
    assert words in error["message"], error
    if param != "response_format" or words:
        assert error["code"] == "unsupported_schema"


def test_an_answer_whose_grammar_passes_its_limits_ends_with_an_error(server: Server) -> None:
    wanted = schema({"type": "string", "pattern": "^((((a{1,50}){1,50}){1,50}){1,50}){1,50}$"})
    question = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "temperature": 2, "seed": 1} | wanted
    question["logprobs"] = True  # so that no token of the answer stands in the prompt
    whole = server.post(CHAT, question)
    assert (whole.status_code, whole.json()["error"]["code"]) == (400, "unsupported_schema")
    assert whole.json()["error"]["param"] == "response_format"
    last = json.loads(server.events(CHAT, question)[-1].removeprefix("data: "))["error"]
    assert (last["status"], last["code"]) == (400, "unsupported_schema")
    assert server.says("What is 3 + 4?") == "7"


N = {"N": {"$anchor": "N", "type": "string"}}
KIDS = {"oneOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/both"}], "discriminator": {"propertyName": "kind"}}
LEAF, BOTH = obj(kind={"const": "leaf"}), obj(kind={"const": "both"}, left=KIDS, right={"$ref": "#"})
TREE = {**KIDS, "$defs": {"leaf": LEAF, "both": BOTH}}
TWO = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"properties": {"a": {"$ref": "#M"}}, "$defs": N}, "#/properties/a has a `$ref` to #M, which does not"),
        ({"properties": {"a": {"not": {"$ref": "#"}}}}, "#/properties/a uses `not`"),
        ({"items": {"if": {"const": 1}, "then": {"$dynamicRef": "#N"}}}, "#/items/then uses `$dynamicRef`"),
        ({"anyOf": [{"type": "array", "uniqueItems": 5}]}, "#/anyOf/0/uniqueItems is not valid"),
        ({"items": {"type": "string", "format": "phone"}}, "#/items has a `format`"),
        ({"patternProperties": {"^a": {}, "b$": {}}}, "cannot be enforced (`patternProperties`"),
        ({"properties": {"a": {"$id": "x", "type": "string"}}}, "#/properties/a uses `$id`"),
        ({"enum": [2**53 + 1]}, "# has an `enum`"),
        ({"type": "object", "required": ["z"], "additionalProperties": False}, "`required`"),
        ({"$dynamicRef": "#a", "x-guidance": {"lenient": True}}, "# uses `$dynamicRef`"),
    ],
)
def test_what_is_not_enforced_is_refused_by_keyword_and_place(server: Server, document: Any, words: str) -> None:
    refused(server, schema(document), words, "response_format")
    tools = [CLOCK, {"type": "function", "function": {"name": "f", "parameters": document}}]
    if "oneOf" not in document and "anyOf" not in document and "enum" not in document and "items" not in document:
        for choice in ("required", "auto"):
            refused(server, {"tools": tools, "tool_choice": choice}, words, "tools[1].function.parameters")


DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
LATE = {
    "uniqueItems": {"type": "array", "items": DIGIT, "minItems": 2, "maxItems": 2, "uniqueItems": True},
    "not": {"type": "string", "maxLength": 3, "not": {"pattern": "[a-z]"}},
    "oneOf": DIGIT | {"oneOf": [{"minimum": 4}, {"maximum": 6}]},
    "a look ahead": {"type": "string", "maxLength": 4, "pattern": "^(?=.*[A-Z ])[^0-9]+$"},
}


@pytest.mark.parametrize("name", LATE)
def test_what_no_grammar_enforces_holds_or_is_a_502(server: Server, name: str) -> None:
    checked, met = jsonschema.Draft202012Validator(LATE[name]), 0
    for seed in range(8):
        fields = {"temperature": 1.5, "seed": seed, "max_tokens": 60, **schema(LATE[name])}
        response = server.post(CHAT, {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]} | fields)
        if response.status_code == 502:
            assert response.json()["error"]["code"] == "schema_not_met"
            continue
        choice = response.json()["choices"][0]
        if choice["finish_reason"] == "stop":
            checked.validate(json.loads(choice["message"]["content"]))
            met += 1
    assert met


def test_a_stream_that_breaks_its_schema_ends_with_an_error(server: Server) -> None:
    question = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]} | schema({"const": 1, "not": {}})
    *_, last = server.events(CHAT, question)
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["code"], error["status"]) == ("schema_not_met", 502)
    assert server.post(CHAT, question).status_code == 502


def test_the_arguments_of_a_required_tool_are_checked(server: Server) -> None:
    function = {"name": "f", "parameters": obj(a={"const": 1}) | {"not": {"required": ["a"]}}}
    tools = [CLOCK, {"type": "function", "function": function}]
    named = {"type": "function", "function": {"name": "f"}}
    question = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "tools": tools}
    response = server.post(CHAT, question | {"tool_choice": named})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "schema_not_met")
    function["parameters"] = obj(a={"const": 1}) | {"not": {"required": ["b"]}}
    (call,) = server.post(CHAT, question | {"tool_choice": named}).json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"a": 1}


@pytest.mark.parametrize(
    ("document", "allowed"),
    [
        ({"$ref": "#/$defs/N", "enum": ["x"], "$defs": N}, lambda v: v == "x"),
        ({"type": "integer", "enum": ["a", 1]}, lambda v: v == 1),
        ({"type": "object", "required": ["z"], "anyOf": [TWO, TWO]}, lambda v: "z" in v),
        ({"minimum": 5, "maxLength": 3, "maxItems": 1, "maxProperties": 0}, lambda v: fits(v)),
        ({"const": 5, "maximum": 9, "$schema": "http://json-schema.org/draft-04/schema#"}, lambda v: v == 5),
        ({"allOf": [{"minimum": 3}, {"maximum": 4}], "type": "integer"}, lambda v: v in (3, 4)),
        ({"allOf": [TWO, {"properties": {"b": {"const": 1}}}], "required": ["a", "b"]}, lambda v: v["b"] == 1),
        ({"type": "number", "minimum": 0, "maximum": 1}, lambda v: 0 <= v <= 1),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, lambda v: re.fullmatch("[A-Z]{3}", v)),
        ({"type": "string", "format": "ipv4"}, lambda v: v.count(".") == 3),
        ({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 99}, lambda v: v % 7 == 0),
        ({"type": "object", "properties": {"a": {"const": 1}}}, lambda v: v in ({}, {"a": 1})),
        ({"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": {"A": {"const": 1}, "B": {"const": "x"}}},
         lambda v: v in (1, "x")),
        (TREE, lambda v: v["kind"] in ("leaf", "both")),
        ({"type": "string", "nullable": True, "maxLength": 2}, lambda v: v is None or len(v) < 3),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [{"$ref": "#/$defs/m"}, {"const": 1}]}, "m": {"const": 2}}},
         lambda v: v in (1, 2)),
    ],
)  # fmt: skip
def test_keywords_beside_each_other_all_hold(server: Server, document: Any, allowed: Any) -> None:
    for seed in range(4):
        choice = server.chat("Hi", temperature=1.9, seed=seed, max_tokens=400, **schema(document))["choices"][0]
        if choice["finish_reason"] == "stop":
            assert allowed(json.loads(choice["message"]["content"])), choice


def fits(value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value >= 5
    return len(value) <= {str: 3, list: 1, dict: 0}[type(value)] if isinstance(value, str | list | dict) else True


def test_json_is_compact_and_names_no_control_token(server: Server) -> None:
    document = obj(**{"<|im_end|>": {"type": "array", "items": {"type": "integer", "maximum": 99}, "maxItems": 4}})
    for seed in range(4):
        text = server.says("Hi", temperature=2, seed=seed, max_tokens=200, **schema(document))
        assert text.startswith('{"<|im_end|>":')
        assert re.sub(r"([:,]) ", r"\1", text) == json.dumps(json.loads(text), separators=(",", ":"))


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": obj(city={"enum": ["Paris", "Rome"]}, days={"type": "integer", "minimum": 1, "maximum": 7}),
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}


def test_a_required_tool_is_called_with_arguments_of_its_schema(server: Server) -> None:
    choice = server.chat("What is the weather?", tools=[WEATHER], tool_choice="required")["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    arguments = json.loads(call["function"]["arguments"])
    assert arguments["city"] in ("Paris", "Rome")
    assert 1 <= arguments["days"] <= 7


def test_a_named_tool_is_the_one_called(server: Server) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    choice = server.chat("Hi", tools=[CLOCK, WEATHER], tool_choice=named, temperature=1)["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


def test_what_can_only_come_first_is_not_decoded(server: Server) -> None:
    body = server.chat("What is the weather?", tools=[WEATHER], tool_choice="required", max_tokens=40)
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert body["usage"]["completion_tokens"] < 40
    body = server.chat("Hi", **schema({"const": {"country": "France"}}), max_tokens=40)
    assert json.loads(body["choices"][0]["message"]["content"]) == {"country": "France"}
    assert body["usage"]["completion_tokens"] < len('"France"}') + 1


def test_a_streamed_call_adds_up_to_the_whole_one(server: Server) -> None:
    request = {"model": "demo", "messages": [{"role": "user", "content": "What is the weather?"}]}
    request |= {"tools": [WEATHER], "tool_choice": "required"}
    whole = server.post(CHAT, request).json()["choices"][0]["message"]["tool_calls"][0]["function"]
    chunks = server.chunks(CHAT, request)
    deltas = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert deltas[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert deltas[0]["id"].startswith("call_")
    assert "".join(delta["function"]["arguments"] for delta in deltas) == whole["arguments"]
    assert len(deltas) > 3
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_with_tool_choice_auto_the_model_may_answer_in_text(server: Server) -> None:
    choice = server.chat("What is 3 + 4?", tools=[CLOCK], tool_choice="none")["choices"][0]
    assert choice["message"]["content"] == "7"
    auto = server.chat("What is 3 + 4?", tools=[CLOCK])["choices"][0]
    assert auto["finish_reason"] in ("stop", "length")
    assert auto["message"]["content"]


def test_a_tool_without_parameters_gets_none(server: Server) -> None:
    for seed in range(3):
        choice = server.chat("Hi", tools=[CLOCK], tool_choice="required", temperature=1.5, seed=seed)["choices"][0]
        assert choice["message"]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_tools_result_is_given_to_the_model(server: Server) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    assert server.post(CHAT, {"model": "demo", "messages": messages, "tools": [CLOCK]}).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [CLOCK, CLOCK], "tool_choice": "required"},
        {"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [{"type": "function", "function": {"name": "two words"}}]},
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": "#a"}}}],
            "tool_choice": "required",
        },
        {"tools": "all"},
    ],
)
def test_wrong_tools_are_400(server: Server, fields: dict[str, object]) -> None:
    response = server.post(CHAT, {"model": "demo", "messages": [{"role": "user", "content": "hi"}]} | fields)
    assert response.status_code == 400, response.text
