"""Folding a stream gives the same answer as a plain call; the last chunk is recognised without parsing."""

import json
from typing import Any

from sluice.domain.gateway import chunks


def chat(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason} | more
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()


USAGE = json.dumps(
    {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 5}},
    separators=(",", ":"),
).encode()


def test_a_chat_stream_folds_into_one_answer() -> None:
    stream = [chat({"role": "assistant", "content": ""}), chat({"content": "Pa"}), chat({"content": "ris."})]
    answer = chunks.whole([*stream, chat({}, "stop"), USAGE])
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Paris.", "refusal": None}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"total_tokens": 5}


def test_tool_calls_are_put_together_from_their_deltas() -> None:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    answer = chunks.whole(
        [
            chat({"role": "assistant", "tool_calls": [first]}),
            chat({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
            chat({"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}),
            chat({}, "tool_calls"),
        ]
    )
    message = answer["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert message["tool_calls"][0]["id"] == "call_1"


def test_logprobs_of_all_chunks_are_joined() -> None:
    answer = chunks.whole(
        [chat({"content": t}, logprobs={"content": [{"token": t, "logprob": -0.1}]}) for t in ("a", "b")]
    )
    assert [entry["token"] for entry in answer["choices"][0]["logprobs"]["content"]] == ["a", "b"]


def test_a_text_stream_folds_into_one_answer() -> None:
    parts = [{"object": "text_completion", "choices": [{"index": 0, "text": t, "finish_reason": None}]} for t in "ab"]
    parts.append({"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    answer = chunks.whole(json.dumps(part).encode() for part in parts)
    assert (answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == ("ab", "length")


def test_only_a_chunk_that_may_end_the_stream_is_held_back() -> None:
    assert not chunks.may_be_last(chat({"content": "x"}))
    assert not chunks.may_be_last(json.dumps({"choices": [{"finish_reason": None}]}).encode())
    assert chunks.may_be_last(chat({}, "stop"))
    assert chunks.may_be_last(USAGE)


def test_a_server_may_leave_the_reason_out_until_the_end() -> None:
    assert not chunks.may_be_last(b'{"choices":[{"index":0,"delta":{"content":"x"}}]}')
    assert not chunks.may_be_last(b'{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}')
    assert chunks.may_be_last(b'{"choices":[{"delta":{"content":"x"}}],"usage":{"total_tokens":5}}')
    assert chunks.may_be_last(b"neither JSON nor a chunk")


def test_the_size_of_a_chunk_is_that_of_all_its_text() -> None:
    call = {"index": 0, "function": {"name": "sum", "arguments": "{}"}}
    assert chunks.text_bytes({"choices": [{"delta": {"content": "né", "tool_calls": [call]}}, {"text": "four"}]}) == 12
    assert chunks.text_bytes({"choices": [{"delta": {"reasoning_content": "hm", "role": "assistant"}}]}) == 2
    assert chunks.text_bytes({"choices": [], "usage": {}}) == chunks.text_bytes({}) == 0


def test_the_models_text_cannot_imitate_the_last_chunk() -> None:
    hostile = '"finish_reason":null "choices":[]'
    assert chunks.may_be_last(chat({"content": hostile}, "stop"))
    assert not chunks.may_be_last(chat({"content": '"finish_reason":"stop"'}))


def test_the_logged_text_is_the_content_and_the_tool_calls() -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    transcript = chunks.Transcript(100)
    for payload in [chat({"content": "Hi "}), chat({"tool_calls": [call]}), chat({}, "stop")]:
        transcript.add(payload)
    text = transcript.text()
    assert text.startswith("Hi [{")
    assert json.loads(text[3:])[0]["function"]["name"] == "f"


def test_the_reasoning_is_kept_up_to_its_own_limit_and_is_no_part_of_the_text() -> None:
    transcript = chunks.Transcript(100, 7)
    for delta in ({"reasoning_content": "I list "}, {"reasoning": "them."}, {"content": "Hi"}, {"reasoning": {"x": 1}}):
        transcript.add(chat(delta))
    assert (transcript.reasoning(), transcript.text()) == ("I list ", "Hi")


def test_a_transcript_keeps_a_long_answer_up_to_its_limit() -> None:
    transcript = chunks.Transcript(500)
    for _ in range(2000):
        transcript.add(chat({"content": "x"}))
    assert 500 <= len(transcript.text()) < 500 + chunks.Transcript.BATCH


def test_whether_a_chunk_belongs_to_another_choice_than_the_one_that_ended() -> None:
    ended = chat({}, "stop")
    assert chunks.is_of_another_choice(ended, chat({"content": "x"}, index=1))
    assert not chunks.is_of_another_choice(ended, chat({"content": "x"}))
    assert not chunks.is_of_another_choice(ended, USAGE)
    assert not chunks.is_of_another_choice(USAGE, chat({"content": "x"}, index=1)), "after usage nothing goes on"
    unnumbered = b'{"choices":[{"delta":{"content":"x"}}]}'
    assert not chunks.is_of_another_choice(ended, unnumbered), "a choice without an index is the first"


def test_a_long_score_folds_in_time_that_grows_with_its_length() -> None:
    """Each chunk's lists are appended and not copied: 40,000 tokens of a prompt took minutes."""
    tokens = {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [None], "text_offset": [0]}
    part = {"object": "text_completion", "choices": [{"index": 0, "text": "a", "logprobs": tokens}]}
    logprobs = chunks.whole([json.dumps(part).encode()] * 40_000)["choices"][0]["logprobs"]
    assert {len(values) for values in logprobs.values()} == {40_000}
