"""Old function calling: `functions` and `function_call` become tools, and calls come back in the old form."""

import json
from typing import Any

import pytest

from sluice.domain.errors import UnsupportedSchema
from tests.fakes.upstream import Step, usage_chunk
from tests.integration.gateway.conftest import Person

WEATHER = {"name": "weather", "description": "Of a city.", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": WEATHER}
QUESTION = {"role": "user", "content": "Weather in Oslo?"}
CALLED = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
RESULT = {"role": "function", "name": "weather", "content": "rain"}


def called(*calls: dict[str, Any], index: int = 0, reason: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"tool_calls": list(calls)} if calls else {}, "finish_reason": reason}
    body = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()


def call(text: str, name: str | None = None, index: int = 0) -> dict[str, Any]:
    function = {"arguments": text} | ({"name": name} if name else {})
    return {"index": index, "function": function} | ({"id": f"call_{index}", "type": "function"} if name else {})


CALL: tuple[Step, ...] = (
    called(call("", "weather")),
    called(call('{"city":')),
    called(call('"Oslo"}'), call("", "other", index=1)),
    called(call("{}", index=1)),
    called(reason="tool_calls"),
    usage_chunk(10, 5),
)


def events(body: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]


def sent(person: Person) -> Any:
    return person.upstream.calls[-1].body


@pytest.mark.parametrize(
    "wanted, choice",
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ({"name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_functions_go_to_the_model_as_tools(person: Person, wanted: Any, choice: Any) -> None:
    answer = person.ask(functions=[WEATHER], function_call=wanted)
    assert answer.status_code == 200, answer.json
    body = sent(person)
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == ([TOOL], choice, False)
    assert "functions" not in body and "function_call" not in body
    assert answer.json is not None
    assert answer.json["choices"][0]["message"] == {"role": "assistant", "content": "Paris", "refusal": None}
    assert answer.json["choices"][0]["finish_reason"] == "stop"


def test_a_whole_answer_has_its_first_call_in_the_old_form(person: Person) -> None:
    person.script(*CALL)
    answer = person.ask(functions=[WEATHER]).json
    assert answer is not None
    (choice,) = answer["choices"]
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert choice["message"]["content"] is None and "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    (record,) = person.log()
    assert (record["status"], record["completion_tokens"], record["finish_reason"]) == (200, 5, "tool_calls")


def test_a_stream_has_it_as_it_is_made_and_only_where_functions_were_sent(person: Person) -> None:
    person.script(*CALL)
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    body = person.ask(functions=[WEATHER], **streamed).text
    assert "tool_calls" not in body and body.endswith("data: [DONE]\n\n")
    chunks = events(body)
    deltas = [choice["delta"].get("function_call") for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [
        {"arguments": "", "name": "weather"},
        {"arguments": '{"city":'},
        {"arguments": '"Oslo"}'},
        None,
        None,
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1] == "function_call"
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 5 and chunks[-1]["usage"]["total_tokens"] == 15
    new = person.ask(tools=[TOOL], **streamed).text
    assert "function_call" not in new and '"finish_reason":"tool_calls"' in new


def test_text_that_only_looks_like_a_call_is_passed_on_unchanged(person: Person) -> None:
    choice = {"index": 0, "delta": {"content": 'say "tool_calls" ü'}, "finish_reason": None}
    text = json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice]}, separators=(",", ":"))
    person.script(text.encode(), called(reason="stop"), usage_chunk(10, 1))
    assert f"data: {text}\n\n" in person.ask(functions=[WEATHER], stream=True).text


def test_earlier_turns_in_the_old_form_become_calls_with_their_results(person: Person) -> None:
    again = [QUESTION, CALLED, RESULT, {"role": "assistant", "content": "Rain."}, QUESTION, CALLED, {**RESULT}]
    again[-1]["content"] = None  # type: ignore[index]
    assert person.ask(messages=again).status_code == 200
    function = CALLED["function_call"]
    assert sent(person)["messages"] == [
        QUESTION,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "name": "weather", "tool_call_id": "call_1", "content": "rain"},
        {"role": "assistant", "content": "Rain."},
        QUESTION,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_5", "type": "function", "function": function}],
        },
        {"role": "tool", "name": "weather", "tool_call_id": "call_5", "content": ""},
    ]
    assert "tools" not in sent(person)


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"messages": [QUESTION, RESULT]}, "messages[1].name"),
        ({"messages": [QUESTION, CALLED, {**RESULT, "name": "other"}]}, "messages[2].name"),
        ({"messages": [QUESTION, CALLED, {"role": "function", "content": "rain"}]}, "messages[2].name"),
        ({"messages": [QUESTION, CALLED, QUESTION, {"role": "assistant", "content": "a"}, RESULT]}, "messages[4].name"),
        ({"messages": [QUESTION, {"role": "assistant", "function_call": {"name": "f"}}]}, None),
        ({"functions": [WEATHER], "tools": [TOOL]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"function_call": {"name": "weather"}, "tools": [TOOL]}, "function_call"),
        ({"functions": [WEATHER], "function_call": "required"}, "function_call"),
        ({"functions": [WEATHER], "function_call": 5}, "function_call"),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"functions": [TOOL]}, "functions[0].name"),
        ({"functions": [WEATHER] * 129}, "functions"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it(person: Person, fields: Any, param: str | None) -> None:
    answer = person.ask(**fields)
    assert answer.status_code == 400 and answer.json is not None
    assert param in (None, answer.json["error"]["param"]), answer.json
    assert person.upstream.calls == [] and person.log() == []


@pytest.mark.parametrize(
    "told, param",
    [
        ("tools[0].function.parameters", "functions[0].parameters"),
        ("tool_choice", "function_call"),
        ("tools", "functions"),
        ("messages", "messages"),
        (None, None),
    ],
)
def test_an_error_of_the_model_server_names_the_callers_field(
    person: Person, told: str | None, param: str | None
) -> None:
    person.script(UnsupportedSchema("no", told))
    error = person.ask(functions=[WEATHER]).json["error"]  # type: ignore[index]
    assert (error["code"], error["param"]) == ("unsupported_schema", param)
    person.script(UnsupportedSchema("no", told))
    assert person.ask(tools=[TOOL]).json["error"]["param"] == told  # type: ignore[index]
