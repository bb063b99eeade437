"""Any input gives an answer or a 4xx with an error body, never a 500 or a crash."""

import json
from typing import Any

import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.inference.server import Server
from tests.rounds import rounds

SETTINGS = settings(
    max_examples=rounds(150, 25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.text(max_size=8)
ANYTHING = st.recursive(LEAF, lambda kids: st.lists(kids, max_size=4) | st.dictionaries(KEYS, kids, max_size=4))
PATHS = st.sampled_from(["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize"])
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]), "content": st.text(max_size=60)},
    optional={"name": ANYTHING, "tool_calls": ANYTHING, "tool_call_id": ANYTHING},
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
NAMES = st.text(alphabet='ab"\\\n€{}<|', max_size=4)


def deeper(kids: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, max_size=3),
            "properties": st.dictionaries(NAMES, kids, max_size=4),
            "required": st.lists(NAMES, max_size=3),
            "additionalProperties": kids,
            "items": kids,
            "prefixItems": st.lists(kids, max_size=3),
            "anyOf": st.lists(kids, max_size=4),
            "oneOf": st.lists(kids, max_size=3),
            "allOf": st.lists(kids, max_size=2),
            "enum": st.lists(ANYTHING, max_size=4),
            "const": ANYTHING,
            "$ref": st.sampled_from(["#", "#/items", "#/anyOf/0", "#/properties/a", "#/nothing"]),
            "minItems": st.integers(-1, 600),
            "maxItems": st.integers(-1, 600),
            "minLength": st.integers(-1, 600),
            "maxLength": st.integers(-1, 600),
            "minimum": st.integers() | st.floats(),
            "maximum": st.integers(),
            "format": st.sampled_from(["date", "time", "date-time", "uuid", "email"]),
            "pattern": st.text(max_size=5),
        },
    )


SCHEMA = st.recursive(st.booleans() | st.just({}) | st.builds(lambda t: {"type": t}, TYPES), deeper, max_leaves=12)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2) | ANYTHING,
        "top_p": st.floats(0.01, 1) | ANYTHING,
        "top_k": st.integers(0, 100) | ANYTHING,
        "min_p": st.floats(0, 1) | ANYTHING,
        "presence_penalty": st.floats(-2, 2) | ANYTHING,
        "frequency_penalty": st.floats(-2, 2) | ANYTHING,
        "repeat_penalty": st.floats(0.01, 2) | ANYTHING,
        "seed": st.integers() | ANYTHING,
        "stop": st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=4) | ANYTHING,
        "logit_bias": st.dictionaries(st.integers(0, 1000).map(str), st.floats(-100, 100), max_size=5) | ANYTHING,
        "logprobs": st.booleans() | ANYTHING,
        "top_logprobs": st.integers(0, 20) | ANYTHING,
        "stream": st.booleans() | ANYTHING,
        "stream_options": ANYTHING,
        "tools": ANYTHING,
        "tool_choice": st.sampled_from(["none", "auto", "required"]) | ANYTHING,
        "n": ANYTHING,
        "user": ANYTHING,
    },
)


def check(server: Server, path: str, fields: Any) -> None:
    raw = json.dumps(fields).encode("utf-8", "replace")
    response = requests.post(server.url + path, data=raw, timeout=60)
    assert response.status_code in (200, 400, 404, 413, 502), (response.status_code, response.text, fields)
    if response.status_code != 200:
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert response.status_code != 502 or error["code"] == "schema_not_met", error
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert response.text.endswith("data: [DONE]\n\n"), (response.text[-300:], fields)


@SETTINGS
@given(st.lists(MESSAGE, min_size=1, max_size=3), FIELDS)
def test_any_chat_request_gets_an_answer_or_a_4xx(server: Server, messages: list[Any], fields: dict[str, Any]) -> None:
    check(server, "/v1/chat/completions", fields | {"model": "demo", "messages": messages, "max_tokens": 4})


@SETTINGS
@given(SCHEMA)
def test_any_schema_is_met_or_refused_or_said_to_be_broken(server: Server, schema: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    fields = {"model": "demo", "messages": [{"role": "user", "content": "Count to 3."}], "response_format": wanted}
    check(server, "/v1/chat/completions", fields | {"max_tokens": 40, "temperature": 2.0, "seed": 1})


@SETTINGS
@given(SCHEMA)
def test_any_tools_are_called_or_refused_or_said_to_be_broken(server: Server, schema: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    fields = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    check(server, "/v1/chat/completions", fields | {"tool_choice": "required", "max_tokens": 40, "temperature": 1.5})


@SETTINGS
@given(ANYTHING | st.text(max_size=50), FIELDS)
def test_any_completions_request_gets_an_answer_or_a_4xx(server: Server, prompt: Any, fields: dict[str, Any]) -> None:
    check(server, "/v1/completions", fields | {"model": "demo", "prompt": prompt, "max_tokens": 4})


@SETTINGS
@given(ANYTHING | st.lists(st.text(max_size=30), max_size=4), ANYTHING, ANYTHING | st.integers(1, 128))
def test_any_embeddings_request_gets_an_answer_or_a_4xx(
    server: Server, given_input: Any, form: Any, dimensions: Any
) -> None:
    fields = {"model": "all-minilm-l6-v2", "input": given_input, "encoding_format": form, "dimensions": dimensions}
    check(server, "/v1/embeddings", fields)


@SETTINGS
@given(PATHS, ANYTHING)
def test_any_json_gets_an_answer_or_a_4xx(server: Server, path: str, body: Any) -> None:
    check(server, path, body)


@SETTINGS
@given(PATHS, st.binary(max_size=200))
def test_any_bytes_get_an_answer_or_a_4xx(server: Server, path: str, body: bytes) -> None:
    assert requests.post(server.url + path, data=body, timeout=60).status_code == 400


def test_the_server_still_answers_after_the_fuzzing(server: Server) -> None:
    assert server.says("What is the capital of France?") == "The capital of France is Paris."
    assert server.process.poll() is None
