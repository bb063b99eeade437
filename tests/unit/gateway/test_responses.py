"""The Responses API translates items to messages, and chat chunks to numbered events and one object."""

import json
from typing import Any

import pytest

from sluice.domain.gateway.response_items import messages_from
from sluice.domain.gateway.response_replay import replay
from sluice.domain.gateway.responses import Assembly


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}


def run(*chunks: dict[str, Any]) -> tuple[Assembly, list[dict[str, Any]]]:
    assembly = Assembly("resp_1", 1, {"model": "demo"})
    events = assembly.begin()
    for each in chunks:
        events += assembly.chunk(each)
    return assembly, events + assembly.end()


def test_a_text_answer_is_one_message_and_events_in_order() -> None:
    assembly, events = run(
        chunk({"role": "assistant"}), chunk({"content": "Pa"}), chunk({"content": "ris"}, "stop"), USAGE
    )
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    (item,) = assembly.response["output"]
    assert (item["content"][0]["text"], item["status"]) == ("Paris", "completed")
    assert assembly.response["usage"]["input_tokens"] == 5
    assert assembly.answer_messages() == [{"role": "assistant", "content": "Paris"}]


def test_a_response_that_broke_off_holds_what_came_before() -> None:
    assembly = Assembly("resp_1", 1, {"model": "demo"})
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a'}}
    for delta in ({"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "Pa"}, {"tool_calls": [call]}):
        assembly.chunk(chunk(delta))
    failed = assembly.fail("server_error", "gone")[-1]["response"]["output"]
    assert [item.get("arguments") or item["content"][0]["text"] for item in failed] == ["hm", "Pa", '{"a']


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_a_stored_answer_is_replayed_event_by_event(reason: str) -> None:
    assembly = Assembly("resp_1", 1, {"model": "demo"}).searched("where?", None, [("file_1", "a.txt")])
    events = assembly.begin()
    deltas = [{"reasoning_content": text} for text in ("h", "m")] + [
        {"content": text} for text in ("P", "\u00e4\U0001f600", "s")
    ]
    for number in (0, 1):
        deltas.append(
            {"tool_calls": [{"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": ""}}]}
        )
        deltas += [{"tool_calls": [{"index": number, "function": {"arguments": text}}]} for text in ('{"a"', ":1}")]
    for delta in deltas:
        events += assembly.chunk(chunk(delta))
    events += assembly.chunk(chunk({}, reason)) + assembly.chunk(USAGE) + assembly.end()
    stored, pieces = json.loads(json.dumps([assembly.kept(), assembly.pieces()]))
    for event in events:
        event.pop("response", None)

    def without_snapshots(pieces: dict[str, list[int]]) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in event.items() if name != "response"} for event in replay(stored, pieces)
        ]

    assert without_snapshots(pieces) == json.loads(json.dumps(events))
    coarse = without_snapshots({})
    assert [event["sequence_number"] for event in coarse] == list(range(len(coarse))) and len(coarse) < len(events)
    assert replay(stored, pieces)[-1]["response"] == stored


def test_an_answer_cut_by_the_limit_is_incomplete() -> None:
    assembly, events = run(chunk({"content": "Pa"}), chunk({}, "length"))
    assert events[-1]["type"] == "response.incomplete"
    assert assembly.response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_tool_calls_become_items_and_return_as_one_assistant_message() -> None:
    first = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}}
    second = {"index": 1, "id": "call_2", "function": {"name": "time", "arguments": "{}"}}
    assembly, events = run(
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Oslo"}'}}]}),
        chunk({"tool_calls": [second]}),
        chunk({}, "tool_calls"),
    )
    assert [item["arguments"] for item in assembly.response["output"]] == ['{"city":"Oslo"}', "{}"]
    assert sum(event["type"] == "response.function_call_arguments.done" for event in events) == 2
    (message,) = assembly.answer_messages()
    assert [call["id"] for call in message["tool_calls"]] == ["call_1", "call_2"]


def test_input_items_become_messages() -> None:
    items = [
        {"type": "message", "role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi "}, {"type": "input_text", "text": "there"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]
    assert messages_from(items) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi there"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    assert messages_from("Hi") == [{"role": "user", "content": "Hi"}]
