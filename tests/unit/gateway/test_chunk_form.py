"""A chunk of another server is one, or is refused; a row of its list of models is believed in part."""

import json
from typing import Any

import pytest

from sluice.domain.gateway.chunk_form import MAX_COUNT, parsed, with_sound_usage
from sluice.domain.gateway.model_rows import model_row

NO_WINDOWS: tuple[Any, ...] = ("many", -1, 0, 10**12, True, 1.5, [])
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
CHUNKS: tuple[dict[str, Any], ...] = (
    {"choices": []},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
    {"choices": [{"delta": {"content": "Pa", "reasoning_content": "x"}}], "usage": None},
    {"choices": [{"index": 3, "delta": {"tool_calls": [CALL, {"index": 1, "function": {"arguments": "}"}}]}}]},
    {"choices": [{"index": 0, "text": "Pa", "logprobs": {"tokens": ["Pa"]}, "finish_reason": "stop"}]},
    {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"error": "busy"},
)


@pytest.mark.parametrize("chunk", CHUNKS, ids=str)
def test_what_servers_send_is_a_chunk(chunk: dict[str, Any]) -> None:
    assert parsed(json.dumps(chunk).encode()) == chunk


@pytest.mark.parametrize(
    "change",
    [
        {"index": -1}, {"index": True}, {"index": 10**6}, {"index": None}, {"index": "0"}, {"text": 5},
        {"logprobs": []},
        {"finish_reason": {}}, {"delta": []}, {"delta": {"role": 1}}, {"delta": {"refusal": []}},
        {"delta": {"tool_calls": {}}}, {"delta": {"tool_calls": [None]}}, {"delta": {"tool_calls": [{"index": 1_000}]}},
        {"delta": {"tool_calls": [{"id": 7}]}}, {"delta": {"tool_calls": [{"function": {"arguments": {}}}]}},
    ],
    ids=str,
)  # fmt: skip
def test_a_choice_of_another_form_is_refused(change: dict[str, Any]) -> None:
    whole = {"choices": [{"index": 0, "delta": {"content": "Pa"}, **change}]}
    with pytest.raises(ValueError, match="no chunk"):
        parsed(json.dumps(whole).encode())


TOLD = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (None, None),
        (TOLD, TOLD),
        ({**TOLD, "cost": 0.1, "total_tokens": 9}, {**TOLD, "cost": 0.1, "total_tokens": 9}),
        ({**TOLD, "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": None}},) * 2,
        ({**TOLD, "prompt_tokens_details": {"cached_tokens": -2}, "completion_tokens_details": "none"}, TOLD),
        ({**TOLD, "total_tokens": "8"}, TOLD),
        ({"prompt_tokens": 5, "completion_tokens": 3}, TOLD),
        (dict.fromkeys(TOLD, 10**400), dict.fromkeys(TOLD, MAX_COUNT)),
        *(({**TOLD, "prompt_tokens": odd}, None) for odd in (-5, "5", True, 1.5, None, [])),
        ({"total_tokens": 8}, None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_of_a_usage_what_a_client_can_read_is_left(usage: Any, told: Any) -> None:
    whole = {"choices": [], "usage": usage}
    assert with_sound_usage(whole) is (usage != told)
    assert whole == {"choices": [], "usage": told}


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 9_999, b'{"choices":[],"x":Infinity}', b'{"error":""}'])
def test_what_is_no_json_or_says_nothing_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        parsed(payload)


@pytest.mark.parametrize(
    ("told", "window"),
    [
        ({"context_window": 512}, 512),
        ({"max_model_len": 4096, "root": "/home/ada/models/x"}, 4096),
        ({"context_length": 8192}, 8192),
        ({"meta": {"n_ctx": 2048, "n_ctx_train": 32768}}, 2048),
        *(({"context_window": odd}, None) for odd in NO_WINDOWS),
    ],
    ids=str,
)
def test_a_context_window_is_found_by_its_usual_names(told: dict[str, Any], window: int | None) -> None:
    row = model_row({"id": "x", "created": "yesterday", "owned_by": 7, "path": "/home/ada", **told})
    assert row.pop("context_window", None) == window
    assert row == {"id": "x", "object": "model", "created": 0, "owned_by": ""}


@pytest.mark.parametrize("row", [{}, {"id": 7}, {"id": ""}, {"id": "a\nb"}, {"id": "x" * 257}, None, "x"], ids=str)
def test_what_is_no_model_is_refused(row: Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        model_row(row)


@pytest.mark.parametrize("told", [{"owned_by": "x" * 257}, {"owned_by": "\x1b[2J"}, {"capabilities": ["chat"] * 99}])
def test_what_is_too_long_or_cannot_be_shown_is_left_out(told: dict[str, Any]) -> None:
    assert model_row({"id": "x", **told}) == {"id": "x", "object": "model", "created": 0, "owned_by": ""}
