"""Anthropic's API over the same exchange, called by its own SDK: each call is admitted, charged and recorded once."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2 as httpx
import pytest
from werkzeug.test import TestResponse

from sluice.domain.errors import ModelUnavailable, Overloaded
from sluice.http.gateway import streaming
from tests.fakes.upstream import FakeClock, chunk, usage_chunk
from tests.integration.gateway.conftest import Person

VERSION = {"anthropic-version": "2023-06-01"}
HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a place",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def delta(**fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "logprobs": None, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()


def called(index: int, arguments: str, name: str | None = None) -> bytes:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name:
        call |= {"id": f"call_{index}", "type": "function"}
        call["function"]["name"] = name
    return delta(tool_calls=[call])


TOOL_CALLS = (
    delta(content="Let me look."),
    called(0, "", "weather"),
    called(0, '{"place":'),
    called(0, '"Oslo"}'),
    called(1, "{}", "clock"),
    chunk(None, "tool_calls"),
    usage_chunk(10, 9),
)


@pytest.fixture
def sdk(person: Person) -> Iterator[anthropic.Anthropic]:
    key = person.api_token["Authorization"].removeprefix("Bearer ")
    transport = httpx.WSGITransport(app=person.client.application)
    with httpx.Client(transport=transport) as http:
        yield anthropic.Anthropic(api_key=key, base_url="http://sluice.test", http_client=http, max_retries=0)


def post(person: Person, path: str = "/v1/messages", **fields: Any) -> TestResponse:
    body = {"model": "demo", "max_tokens": 20, "messages": HI, **fields}
    return person.client.post(path, json=body, headers=person.api_token)


def events(answer: TestResponse) -> list[dict[str, Any]]:
    blocks = [block.split("\n", 1) for block in answer.text.strip().split("\n\n")]
    found = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]
    assert all(name == event["type"] for name, event in found)
    return [event for _, event in found]


def test_the_sdk_gets_a_message_and_the_ledger_its_counts(sdk: anthropic.Anthropic, person: Person) -> None:
    made = sdk.messages.create(
        model="demo", max_tokens=20, messages=HI, system="Be brief.", extra_body={"temperature": 0.5}
    )
    assert (made.content[0].type, made.stop_reason, made.role) == ("text", "end_turn", "assistant")
    assert made.content[0].text == "Paris"
    assert (made.usage.input_tokens, made.usage.output_tokens) == (10, 2)
    assert made._request_id
    sent = person.upstream.calls[0].body
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert (sent["max_tokens"], sent["temperature"]) == (20, 0.5)
    (entry,) = person.log()
    told = (entry["endpoint"], entry["status"], entry["prompt_tokens"], entry["completion_tokens"], entry["stream"])
    assert told == ("messages", 200, 10, 2, False)
    assert person.grant().leases == {}


def test_the_sdk_reads_a_stream_with_the_true_input_tokens_first(sdk: anthropic.Anthropic, person: Person) -> None:
    with sdk.messages.stream(model="demo", max_tokens=20, messages=HI) as stream:
        seen = list(stream)
        final = stream.get_final_message()
    assert seen[0].type == "message_start" and seen[0].message.usage.input_tokens == 10
    assert (final.content[0].type, final.usage.output_tokens, final.stop_reason) == ("text", 2, "end_turn")
    (entry,) = person.log()
    assert (entry["status"], entry["stream"], entry["total_tokens"]) == (200, True, 12)


def test_a_stream_has_anthropics_events_and_no_done(person: Person) -> None:
    answer = post(person, stream=True)
    assert "[DONE]" not in answer.text and answer.headers["x-ratelimit-limit-requests"]
    assert [event["type"] for event in events(answer)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_tool_calls_are_blocks_streamed_as_they_are_made(sdk: anthropic.Anthropic, person: Person) -> None:
    person.script(*TOOL_CALLS)
    whole = sdk.messages.create(model="demo", max_tokens=20, messages=HI, tools=[WEATHER])  # type: ignore[list-item]
    with sdk.messages.stream(model="demo", max_tokens=20, messages=HI, tools=[WEATHER]) as stream:  # type: ignore[list-item]
        parts = [one.partial_json for one in stream if one.type == "input_json"]
        streamed = stream.get_final_message()
    assert parts == ['{"place":', '"Oslo"}', "{}"]
    for message in (whole, streamed):
        assert message.stop_reason == "tool_use"
        text, weather, clock = message.content
        assert (text.type, weather.type, clock.type) == ("text", "tool_use", "tool_use")
        assert (weather.id, weather.name, weather.input) == ("call_0", "weather", {"place": "Oslo"})
        assert (clock.name, clock.input) == ("clock", {})
    sent = person.upstream.calls[0].body["tools"][0]["function"]
    assert (sent["name"], sent["parameters"]) == ("weather", WEATHER["input_schema"])


CHOICES = {
    "auto": ({"type": "auto"}, {"tool_choice": "auto"}),
    "any": ({"type": "any"}, {"tool_choice": "required"}),
    "none": ({"type": "none"}, {"tool_choice": "none"}),
    "tool": (
        {"type": "tool", "name": "weather"},
        {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
    ),
    "one at a time": (
        {"type": "auto", "disable_parallel_tool_use": True},
        {"tool_choice": "auto", "parallel_tool_calls": False},
    ),
}


@pytest.mark.parametrize("which", CHOICES)
def test_the_choice_of_tools_reaches_the_model(person: Person, which: str) -> None:
    choice, expected = CHOICES[which]
    assert post(person, tools=[WEATHER], tool_choice=choice).status_code == 200
    sent = person.upstream.calls[0].body
    assert {name: sent[name] for name in ("tool_choice", "parallel_tool_calls") if name in sent} == expected


def test_a_conversation_with_tools_returns_to_the_model(person: Person) -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_0", "name": "weather", "input": {"place": "Oslo"}},
    ]
    results = [
        {"type": "tool_result", "tool_use_id": "call_0", "content": [{"type": "text", "text": "rain"}]},
        {"type": "text", "text": "And tomorrow?", "cache_control": {"type": "ephemeral"}},
    ]
    turns = [*HI, {"role": "assistant", "content": blocks}, {"role": "user", "content": results}]
    system = [{"type": "text", "text": "You help."}, {"type": "text", "text": "Be brief."}]
    assert post(person, messages=turns, system=system, stop_sequences=["END"], top_k=5).status_code == 200
    sent = person.upstream.calls[0].body
    call = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Oslo"}'}}
    assert sent["messages"] == [
        {"role": "system", "content": "You help.\nBe brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": "rain"},
        {"role": "user", "content": "And tomorrow?"},
    ]
    assert (sent["stop"], sent["top_k"]) == (["END"], 5)


def test_tools_of_anthropics_own_are_left_out_and_said(person: Person) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}, WEATHER, {"type": "bash_20250124", "name": "bash"}]
    answer = post(person, tools=tools)
    assert answer.headers["x-sluice-ignored"] == "web_search_20250305,bash_20250124"
    assert [tool["function"]["name"] for tool in person.upstream.calls[0].body["tools"]] == ["weather"]


def test_reasoning_is_a_block_only_where_it_was_asked_for(person: Person) -> None:
    person.script(delta(reasoning_content="hm"), delta(content="Paris"), chunk(None, "stop"), usage_chunk(10, 3))
    asked = post(person, thinking={"type": "enabled", "budget_tokens": 1024}).json
    assert asked and [block["type"] for block in asked["content"]] == ["thinking", "text"]
    unasked = post(person).json
    assert unasked and unasked["content"] == [{"type": "text", "text": "Paris"}]


def test_a_stop_sequence_and_a_cut_are_told_apart(person: Person) -> None:
    last = json.loads(chunk(None, "stop"))
    last["choices"][0]["stop_reason"] = "END"
    person.script(chunk("Pa"), json.dumps(last, separators=(",", ":")).encode(), usage_chunk(10, 1))
    stopped = post(person, stop_sequences=["END"]).json
    assert stopped and (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "END")
    person.script(chunk("Pa"), chunk(None, "length"), usage_chunk(10, 1))
    cut = post(person).json
    assert cut and (cut["stop_reason"], cut["stop_sequence"]) == ("max_tokens", None)


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}]},
        "messages[0].content[1].type: this model takes text only",
    ),
    "an image in a result": (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [IMAGE]}]}]},
        "messages[0].content[0].content[0].type: this model takes text only",
    ),
    "no limit": ({"max_tokens": None}, "max_tokens: "),
    "no message": ({"messages": []}, "messages: "),
    "a role": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role: "),
    "a temperature": ({"temperature": 2}, "temperature: "),
    "a tool without a schema": ({"tools": [{"name": "a"}]}, "tools[0].input_schema: "),
    "a tool's type": ({"tools": [{"type": "a\r\nb", "name": "a"}]}, "tools[0].type: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_request_is_refused_in_anthropics_envelope(person: Person, what: str) -> None:
    fields, message = WRONG[what]
    answer = post(person, **fields)
    assert answer.status_code == 400 and answer.json
    assert answer.json["type"] == "error" and answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["error"]["message"].startswith(message)
    assert answer.json["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    assert person.upstream.calls == [] and person.log() == []


def test_the_sdk_raises_its_own_errors(sdk: anthropic.Anthropic, person: Person) -> None:
    ask = {"model": "demo", "max_tokens": 20, "messages": HI}
    with pytest.raises(anthropic.NotFoundError):
        sdk.messages.create(**{**ask, "model": "gpt-9"})  # type: ignore[call-overload]
    with pytest.raises(anthropic.AuthenticationError):
        sdk.with_options(api_key="sk-ant-nothing").messages.create(**ask)  # type: ignore[call-overload]
    person.script(Overloaded())
    for stream in (False, True):
        with pytest.raises(anthropic.APIStatusError) as refused:
            sdk.messages.create(**ask, stream=stream)  # type: ignore[call-overload]
        assert refused.value.status_code == 529 and refused.value.response.headers["retry-after"]
        assert refused.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]
    assert [entry["status"] for entry in person.log()] == [529, 529]


def test_a_stream_that_fails_ends_with_an_error_event(person: Person) -> None:
    person.script(chunk("Pa"), ModelUnavailable())
    told = events(post(person, stream=True))
    assert (told[-1]["type"], told[-1]["error"]["type"]) == ("error", "api_error")
    assert [entry["status"] for entry in person.log()] == [503]


def test_two_calls_mixed_by_the_model_are_an_error_and_no_wrong_arguments(person: Person) -> None:
    person.script(called(0, "{", "a"), called(1, "{", "b"), called(0, "}"), chunk(None, "tool_calls"))
    assert events(post(person, stream=True))[-1]["type"] == "error"
    assert len(person.log()) == 1


def test_a_caller_who_hangs_up_is_charged_for_what_was_made_once(person: Person) -> None:
    body = {"model": "demo", "max_tokens": 20, "messages": HI, "stream": True}
    answer = person.client.post("/v1/messages", json=body, headers=person.api_token, buffered=False)
    assert b"message_start" in next(iter(answer.response))
    answer.close()
    (entry,) = person.log()
    assert (entry["status"], entry["finish_reason"]) == (499, "cancelled")
    assert (entry["prompt_tokens"], entry["completion_tokens"]) == (10, 1)
    assert person.grant().leases == {} and person.upstream.streams[0].closed


def test_a_refusal_counts_among_the_accounts_refusals(person: Person) -> None:
    assert post(person, model="gpt-9").status_code == 404
    (last,) = person.call("GET", "/usage/refusals").json["last"]  # type: ignore[index]
    assert (last["endpoint"], last["code"], last["status"]) == ("/v1/messages", "model_not_found", 404)


def test_a_request_a_minute_is_the_same_request_in_every_dialect(person: Person, still: FakeClock) -> None:
    answers = [
        post(person),
        person.client.post("/v1/responses", json={"model": "demo", "input": "hi"}, headers=person.api_token),
        person.ask(),
        post(person, "/v1/messages/count_tokens"),
    ]
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert left == list(range(left[0], left[0] - 4, -1))


def test_a_silence_is_a_ping(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FIRST_EVENT_SECONDS", -1.0)
    person.script(b"", chunk("Paris"), chunk(None, "stop"), usage_chunk(10, 1))
    told = events(post(person, stream=True))
    assert [event["type"] for event in told[:2]] == ["ping", "message_start"]


@pytest.mark.parametrize("name", ["Authorization", "x-api-key"])
def test_either_header_carries_the_api_token(person: Person, name: str) -> None:
    token = person.api_token["Authorization"].removeprefix("Bearer ")
    headers = {name: f"Bearer {token}" if name == "Authorization" else token}
    body = {"model": "demo", "max_tokens": 5, "messages": HI}
    assert person.client.post("/v1/messages", json=body, headers=headers).status_code == 200
    assert person.client.get("/v1/models", headers={**headers, **VERSION}).status_code == 200


def test_openais_calls_do_not_take_anthropics_header(person: Person) -> None:
    token = person.api_token["Authorization"].removeprefix("Bearer ")
    answer = person.client.post("/v1/chat/completions", json=person.body, headers={"x-api-key": token})
    assert answer.status_code == 401 and answer.json and answer.json["error"]["code"] == "invalid_api_key"


def test_tokens_are_counted_without_an_answer(sdk: anthropic.Anthropic, person: Person) -> None:
    counted = sdk.messages.count_tokens(model="demo", messages=HI, system="Be brief.", tools=[WEATHER])  # type: ignore[list-item]
    assert counted.input_tokens == 10
    (entry,) = person.log()
    assert (entry["endpoint"], entry["total_tokens"], entry["status"]) == ("messages.count_tokens", 0, 200)
    assert {"messages", "tools"} <= set(person.upstream.calls[0].body)


def test_a_count_counts_as_a_request_and_fails_like_one(person: Person, still: FakeClock) -> None:
    before = int(post(person, "/v1/messages/count_tokens").headers["x-ratelimit-remaining-requests"])
    assert int(post(person).headers["x-ratelimit-remaining-requests"]) == before - 1
    person.upstream.down = True
    assert post(person, "/v1/messages/count_tokens").status_code == 503
    assert [entry["status"] for entry in person.log()] == [503, 200, 200]


def test_models_have_anthropics_shape_for_its_clients(sdk: anthropic.Anthropic, person: Person) -> None:
    (model,) = sdk.models.list().data
    assert (model.id, model.type, model.display_name) == ("demo", "model", "demo")
    assert sdk.models.retrieve("demo").id == "demo"
    plain = person.client.get("/v1/models", headers=person.api_token).json
    assert plain and plain["object"] == "list"


def test_a_revoked_token_is_refused_on_the_next_request(sdk: anthropic.Anthropic, person: Person) -> None:
    assert person.call("POST", f"/tokens/{person.token_id}/revoke").status_code == 200
    with pytest.raises(anthropic.AuthenticationError):
        sdk.messages.create(model="demo", max_tokens=20, messages=HI)
