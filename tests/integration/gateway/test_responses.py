"""The Responses API as coding agents use it: bodies in the form that Codex CLI sends, items sent back, counts."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from werkzeug.test import TestResponse

from sluice.domain.errors import InvalidModelRequest, ModelUnavailable
from sluice.services.gateway import stored_responses
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_messages import IMAGE, called, delta

SHELL: dict[str, Any] = {
    "type": "function",
    "name": "shell",
    "description": "Runs a command",
    "strict": False,
    "parameters": {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}}}},
}
CODEX: dict[str, Any] = {
    "model": "demo",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "sandbox: on"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list the files"}]},
    ],
    "tools": [
        SHELL,
        {"type": "local_shell"},
        {"type": "web_search", "external_web_access": False},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "a"}},
        {"type": "namespace", "name": "mcp", "tools": [SHELL]},
        {"type": "web_search"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "text": {"verbosity": "low"},
}
SECOND_TURN = [
    *CODEX["input"],
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": None},
    {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_0"},
    {
        "type": "function_call_output",
        "call_id": "call_0",
        "output": [{"type": "input_text", "text": "a.py"}, {"type": "input_text", "text": "\nb.py"}],
    },
]


@pytest.fixture
def sdk(person: Person) -> Iterator[openai.OpenAI]:
    key = person.api_token["Authorization"].removeprefix("Bearer ")
    with httpx.Client(transport=httpx.WSGITransport(app=person.client.application)) as http:
        yield openai.OpenAI(
            api_key=key,
            base_url="http://sluice.test/v1",
            http_client=http,
            max_retries=0,
            _strict_response_validation=True,
        )


def post(person: Person, path: str = "/v1/responses", **fields: Any) -> TestResponse:
    return person.client.post(path, json={"model": "demo", "input": "hi", **fields}, headers=person.api_token)


def told(answer: TestResponse) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_codexs_body_is_answered_and_what_is_left_out_is_said(person: Person) -> None:
    person.script(
        delta(reasoning_content="I list "), delta(reasoning_content="them."),
        called(0, "", "shell"), called(0, '{"command":["ls"]}'), chunk(None, "tool_calls"), usage_chunk(10, 9),
    )  # fmt: skip
    answer = person.client.post("/v1/responses", json=CODEX, headers=person.api_token)
    assert answer.status_code == 200
    assert answer.headers["x-sluice-ignored"] == "local_shell,web_search,custom,namespace"
    sent = person.upstream.calls[0].body
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["shell"]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("auto", False)
    assert [message["role"] for message in sent["messages"]] == ["system", "system", "user"]
    done = [event["item"] for event in told(answer) if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["reasoning", "function_call"]
    assert done[0]["content"] == [{"type": "reasoning_text", "text": "I list them."}] and done[0]["summary"] == []
    assert done[1]["arguments"] == '{"command":["ls"]}'
    last = told(answer)[-1]
    assert last["type"] == "response.completed" and last["response"]["usage"]["input_tokens"] == 10
    (entry,) = person.log()
    assert (entry["endpoint"], entry["total_tokens"], entry["stream"]) == ("responses", 19, True)
    counted = person.client.post("/v1/responses/input_tokens", json=CODEX, headers=person.api_token)
    assert counted.headers["x-sluice-ignored"] == answer.headers["x-sluice-ignored"]


def test_codexs_second_turn_comes_back_as_a_conversation(person: Person) -> None:
    answer = person.client.post("/v1/responses", json={**CODEX, "input": SECOND_TURN}, headers=person.api_token)
    assert answer.status_code == 200
    assistant, tool = person.upstream.calls[0].body["messages"][-2:]
    assert assistant["tool_calls"][0]["function"] == {"name": "shell", "arguments": '{"command":["ls"]}'}
    assert tool == {"role": "tool", "tool_call_id": "call_0", "content": "a.py\nb.py"}


def test_a_probe_without_input_is_answered(person: Person) -> None:
    assert post(person, input=[]).status_code == 200
    assert person.upstream.calls[0].body["messages"] == [{"role": "user", "content": ""}]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "an image": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}]},
        "input[0].content[0].type",
        "this model takes text only",
    ),
    "an image as output": (
        {"input": [{"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image"}]}]},
        "input[0].output[0].type",
        "this model takes text only",
    ),
    "an unknown item": ({"input": [{"type": "computer_call"}]}, "input[0].type", "must be 'message'"),
    "a tool without a type": ({"tools": [{"name": "a"}]}, "tools[0].type", ""),
    "a tool's type": ({"tools": [{"type": "a,b"}]}, "tools[0].type", ""),
    "a choice of a tool left out": ({"tool_choice": {"type": "custom", "name": "a"}}, "tool_choice", ""),
}


def test_what_the_model_refuses_is_named_as_the_caller_has_it(person: Person) -> None:
    person.script(InvalidModelRequest("No call of the turn before has this id.", "messages[2].tool_call_id"))
    for stream in (False, True):
        answer = post(person, stream=stream)
        assert answer.status_code == 400 and answer.json and answer.json["error"]["param"] == "input"


@pytest.mark.parametrize("asked", [{"include": ["message.output_text.logprobs"]}, {"top_logprobs": 2}])
def test_log_probabilities_are_told_stored_and_replayed(
    sdk: openai.OpenAI, person: Person, asked: dict[str, Any]
) -> None:
    logprob = {"token": "Paris", "logprob": -0.1, "bytes": [80], "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": "Paris"}, "logprobs": {"content": [logprob]}}
    person.script(json.dumps({"choices": [choice]}).encode(), chunk(None, "stop"), usage_chunk(10, 1))
    made = sdk.responses.create(model="demo", input="hi", **asked)
    assert made.output[0].content[0].logprobs[0].token == "Paris"  # type: ignore[union-attr, index]
    sent, most = person.upstream.calls[0].body, asked.get("top_logprobs", 0)
    assert (sent["logprobs"], sent["top_logprobs"], made.top_logprobs) == (True, most, most)
    events = list(sdk.responses.retrieve(made.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.logprobs[0].token for event in events if event.type == "response.output_text.delta"] == ["Paris"]


@pytest.mark.parametrize("what", WRONG)
def test_what_is_refused_is_named(person: Person, what: str) -> None:
    fields, param, message = WRONG[what]
    answer = post(person, **fields)
    assert answer.status_code == 400 and answer.json
    assert (answer.json["error"]["param"] or "").startswith(param) and message in answer.json["error"]["message"]
    assert person.upstream.calls == [] and person.log() == []


def test_allowed_tools_are_the_only_ones_the_model_sees(person: Person) -> None:
    other = {**SHELL, "name": "other"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]}
    answer = post(person, tools=[SHELL, other], tool_choice=choice)
    assert answer.status_code == 200 and answer.json and answer.json["tool_choice"] == choice
    sent = person.upstream.calls[0].body
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["other"] and sent["tool_choice"] == "required"


def test_the_strict_sdk_reads_answers_streams_items_and_counts(sdk: openai.OpenAI, person: Person) -> None:
    person.script(delta(reasoning_content="hm"), chunk("Paris"), chunk(None, "stop"), usage_chunk(10, 3))
    made = sdk.responses.create(model="demo", input="Capital of France?")
    assert made.output_text == "Paris" and made.usage
    assert made.usage.input_tokens_details.cache_write_tokens == 0
    kinds = [event.type for event in sdk.responses.create(model="demo", input="And Norway?", stream=True)]
    assert kinds.count("response.reasoning_text.delta") == 1 and kinds[-1] == "response.completed"
    (item,) = sdk.responses.input_items.list(made.id).data
    assert item.type == "message" and item.content[0].text == "Capital of France?"  # type: ignore[union-attr]
    counted = sdk.responses.input_tokens.count(model="demo", input="Capital of France?")
    assert counted.input_tokens == 10
    assert [entry["endpoint"] for entry in person.log()] == ["responses.input_tokens", "responses", "responses"]


def test_input_items_are_the_conversation_in_pages(person: Person) -> None:
    first = post(person, input=SECOND_TURN[2:]).json
    assert first
    second = post(person, input="go on", previous_response_id=first["id"]).json
    assert second
    path = f"/v1/responses/{second['id']}/input_items"
    everything = person.client.get(f"{path}?order=asc", headers=person.api_token).json
    assert everything
    assert [item["type"] for item in everything["data"]] == [
        "function_call",
        "function_call_output",
        "message",
        "message",
    ]
    assert [item.get("role") for item in everything["data"][2:]] == ["assistant", "user"]
    newest = person.client.get(f"{path}?limit=3", headers=person.api_token).json
    assert newest and newest["has_more"] and newest["data"] == everything["data"][:0:-1]
    rest = person.client.get(f"{path}?after={newest['last_id']}", headers=person.api_token).json
    assert rest and (rest["data"], rest["has_more"]) == (everything["data"][:1], False)
    assert person.client.get(f"{path}?limit=0", headers=person.api_token).status_code == 400


def test_input_items_of_another_account_do_not_exist(person: Person, other: Person) -> None:
    made = post(person).json
    assert made
    for path in (f"/v1/responses/{made['id']}/input_items", "/v1/responses/resp_0/input_items"):
        assert person.client.get(path, headers=other.api_token).status_code == 404


def test_a_reference_is_the_stored_item(person: Person) -> None:
    first = post(person).json
    assert first
    (asked,) = person.client.get(f"/v1/responses/{first['id']}/input_items", headers=person.api_token).json["data"]  # type: ignore[index]
    references = [
        {"type": "item_reference", "id": asked["id"]},
        {"type": None, "id": "rs_" + first["id"].removeprefix("resp_")},
        {"id": first["output"][0]["id"]},
        {"role": "user", "content": "and then?"},
    ]
    assert post(person, input=references).status_code == 200
    assert person.upstream.calls[1].body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": "and then?"},
    ]


def test_a_reference_to_nothing_or_to_anothers_item_is_404(person: Person, other: Person) -> None:
    made = post(other).json
    assert made
    for identifier in (made["output"][0]["id"], "msg_0", "", "msg_" + "a" * 500, "resp#1"):
        answer = post(person, input=[{"type": "item_reference", "id": identifier}])
        assert answer.status_code == 404 and person.upstream.calls[1:] == []


def test_references_to_many_responses_are_refused(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_responses, "MOST_REFERRED", 1)
    ids = [post(person).json["output"][0]["id"] for _ in range(2)]  # type: ignore[index]
    answer = post(person, input=[{"type": "item_reference", "id": one} for one in ids])
    assert answer.status_code == 400 and answer.json and answer.json["error"]["param"] == "input"


def test_a_stream_that_fails_tells_codex_and_the_sdk(sdk: openai.OpenAI, person: Person) -> None:
    person.script(chunk("Pa"), ModelUnavailable())
    seen = []
    with pytest.raises(openai.APIError) as failed:
        for event in sdk.responses.create(model="demo", input="hi", stream=True):
            seen.append(event)
    assert failed.value.code == "model_unavailable" and seen[-1].type == "response.failed"
    assert seen[-1].response.error and seen[-1].response.error.code == "server_error"
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert [entry["status"] for entry in person.log()] == [503]
    assert person.client.get(f"/v1/responses/{seen[-1].response.id}", headers=person.api_token).status_code == 404


def test_a_body_of_anthropic_is_no_body_of_responses(person: Person) -> None:
    assert post(person, input=[{"role": "user", "content": [IMAGE]}]).status_code == 400
