"""A model that thinks, then calls a tool or answers: the same from its raw text to each dialect, streamed and whole."""

import json
from typing import Any

import pytest

from functions.inference.openai.responses import ResponseHead
from functions.inference.tools.families import HARMONY, HERMES, Family
from functions.inference.tools.parser import parser_for
from functions.inference.tools.responses import ToolChatShape
from sluice.http.gateway.messages import MESSAGE_TOKENS
from sluice.http.gateway.requests import ChatBody
from tests.fakes.upstream import usage_chunk
from tests.integration.gateway.conftest import Person

CALL = '{"name": "f", "arguments": {"a": 1}}'
RAW = {
    "think": (HERMES, f"<think>\nI look.</think>\n\nIt is <b>. <tool_call>\n{CALL}\n</tool_call>"),
    "harmony": (
        HARMONY,
        "<|channel|>analysis<|message|>\nI look.<|end|><|start|>assistant<|channel|>final<|message|>It is <b>.<|end|>"
        '<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>',
    ),
}
TOOL = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


def scripted(family: Family, text: str) -> list[bytes]:
    """What the engine streams when the model writes `text`, four characters a token."""
    shape = ToolChatShape(ResponseHead("chatcmpl-1", 1, "demo"), False, 0, parser_for(family, True, False))
    chunks = [chunk for at in range(0, len(text), 4) for chunk in shape.chunks(text[at : at + 4], ())]
    chunks += shape.closings("stop")
    return [*(json.dumps(chunk, separators=(",", ":")).encode() for chunk in chunks), usage_chunk(10, 9)]


@pytest.fixture(params=RAW)
def thinker(request: pytest.FixtureRequest, person: Person) -> Person:
    person.script(*scripted(*RAW[request.param]))
    return person


def events(person: Person, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = person.client.post(path, json={"model": "demo", "stream": True} | body, headers=person.api_token)
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_chat_has_reasoning_content(thinker: Person) -> None:
    tools = [{"type": "function", "function": TOOL}]
    body: Any = thinker.ask(tools=tools).json
    message = body["choices"][0]["message"]
    assert (message["reasoning_content"].strip(), message["content"]) == ("I look.", "It is <b>.")
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    deltas = [
        choice["delta"]
        for event in events(thinker, "/v1/chat/completions", tools=tools, messages=thinker.body["messages"])
        for choice in event["choices"]
    ]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas).strip() == "I look."
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is <b>."


def test_responses_have_a_reasoning_item(thinker: Person) -> None:
    asked: dict[str, Any] = {"input": "hi", "tools": [{"type": "function", **TOOL}]}
    body = {"model": "demo", **asked}
    whole: Any = thinker.client.post("/v1/responses", json=body, headers=thinker.api_token).json
    streamed = events(thinker, "/v1/responses", **asked)
    assert [event["sequence_number"] for event in streamed] == list(range(len(streamed)))
    for output in (whole["output"], streamed[-1]["response"]["output"]):
        assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]
        assert output[0]["content"][0]["text"].strip() == "I look." and output[2]["arguments"] == '{"a": 1}'
    again = {"model": "demo", "input": [{"role": "user", "content": "hi"}, *whole["output"]]}
    again["input"].append({"type": "function_call_output", "call_id": whole["output"][2]["call_id"], "output": "ok"})
    assert thinker.client.post("/v1/responses", json=again, headers=thinker.api_token).status_code == 200


def test_messages_have_a_thinking_block_where_it_was_asked_for(thinker: Person) -> None:
    tools = [{"name": "f", "input_schema": TOOL["parameters"]}]
    asked: dict[str, Any] = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    for more, kinds in (({}, ["text", "tool_use"]), (thinking, ["thinking", "text", "tool_use"])):
        body = {"model": "demo", **asked, **more}
        whole: Any = thinker.client.post("/v1/messages", json=body, headers=thinker.api_token).json
        assert [block["type"] for block in whole["content"]] == kinds and whole["stop_reason"] == "tool_use"
        streamed = events(thinker, "/v1/messages", **asked, **more)
        starts = [event["content_block"]["type"] for event in streamed if event["type"] == "content_block_start"]
        assert starts == kinds
    assert whole["content"][0]["thinking"].strip() == "I look."
    again = [*asked["messages"], {"role": "assistant", "content": whole["content"]}]
    again.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": whole["content"][2]["id"]}]})
    body = {"model": "demo", **asked, "messages": again}
    assert thinker.client.post("/v1/messages", json=body, headers=thinker.api_token).status_code == 200


def test_reasoning_sent_back_is_reserved_because_a_template_may_show_it() -> None:
    turn = {"role": "assistant", "content": "Paris."}
    with_thought, without = (
        ChatBody.model_validate({"model": "m", "messages": [turn | more]}).token_bound()
        for more in ({"reasoning_content": "x" * 5000}, {})
    )
    assert with_thought - without == 5000 + MESSAGE_TOKENS
