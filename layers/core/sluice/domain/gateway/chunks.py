"""OpenAI's streamed chunks: find the last one without parsing, and fold them into one answer."""

import json
from collections.abc import Iterable
from typing import Any

from sluice.domain import quick_json

# Quotes are escaped inside JSON strings, so these bytes can only be the key itself.
STILL_RUNNING = (b'"finish_reason":null', b'"finish_reason": null')
NO_USAGE = (b'"usage":null', b'"usage": null')
TEXTS = ("content", "reasoning_content", "reasoning", "refusal")  # of a delta; servers name the reasoning differently


def is_error(payload: bytes) -> bool:
    return payload.startswith((b'{"error"', b'{ "error"'))


def may_be_last(payload: bytes) -> bool:
    """Whether a chunk may be the finish chunk or the usage chunk, so that it must be parsed."""
    # Not `in`, which first tries the bytes as a number; and no loop: both cost time with each chunk of a stream.
    if payload.find(STILL_RUNNING[0]) >= 0 or payload.find(STILL_RUNNING[1]) >= 0:
        return False
    # Some servers leave the reason out until the end, so a chunk of choices without one is as good as running.
    if b'"finish_reason"' in payload or b'"choices"' not in payload:
        return True
    return b'"usage"' in payload and not any(mark in payload for mark in NO_USAGE)


def is_of_another_choice(last: bytes, payload: bytes) -> bool:
    """Whether the chunk belongs to another choice than the one that ended with the chunk `last`."""
    ended, found = (
        {choice.get("index", 0) for choice in json.loads(chunk).get("choices") or []} for chunk in (last, payload)
    )
    return bool(ended) and not found <= ended


def text_bytes(chunk: dict[str, Any]) -> int:
    """The size of the chunk's text, reasoning and tool calls included, in UTF-8."""
    size = 0
    for choice in chunk.get("choices") or []:
        delta = choice.get("delta") or {}
        functions = [call.get("function") or {} for call in delta.get("tool_calls") or []]
        texts = [choice.get("text"), *(delta.get(name) for name in TEXTS)]
        texts += [function.get(name) for function in functions for name in ("name", "arguments")]
        size += sum(len(text.encode(errors="replace")) for text in texts if isinstance(text, str))
    return size


def finish_reason(chunk: dict[str, Any]) -> str | None:
    return next((c["finish_reason"] for c in chunk.get("choices", []) if c.get("finish_reason")), None)


def reasoning(delta: dict[str, Any]) -> str:
    found = delta.get("reasoning_content") or delta.get("reasoning")
    return found if isinstance(found, str) else ""


def is_usage_only(chunk: dict[str, Any]) -> bool:
    return not chunk.get("choices") and "usage" in chunk


class Transcript:
    """An answer's text, for the log and for chats: the joined content, then tool calls as JSON, choice by choice; and
    the first `reasoning_characters` of its reasoning.

    Chunks are parsed in batches, so that a long stream does not hold its JSON in memory, and a short one is parsed only
    at its end. Text above `limit_characters` is dropped.
    """

    BATCH = 64

    def __init__(self, limit_characters: int, reasoning_characters: int = 0) -> None:
        self._left, self._reasoning_left = limit_characters, reasoning_characters
        self._reasoning: list[str] = []
        self._pending: list[bytes] = []
        self._parts: dict[int, list[str]] = {}
        self._calls: dict[int, list[dict[str, Any]]] = {}

    def add(self, payload: bytes) -> None:
        if self._left <= 0:
            return
        self._pending.append(payload)
        if len(self._pending) >= self.BATCH:
            self._fold()

    def _fold(self) -> None:
        for chunk in _parsed(self._pending):
            for choice in chunk.get("choices", []):
                delta = choice.get("delta") or {}
                text, index = choice.get("text") or delta.get("content") or "", choice.get("index", 0)
                if calls := delta.get("tool_calls"):
                    self._calls[index] = _merge_calls(self._calls.get(index, []), calls)
                self._parts.setdefault(index, []).append(text)
                self._left -= len(text)
                if self._reasoning_left > 0 and (thought := reasoning(delta)):
                    self._reasoning.append(thought[: self._reasoning_left])
                    self._reasoning_left -= len(thought)
        self._pending.clear()

    def reasoning(self) -> str:
        self._fold()
        return "".join(self._reasoning)

    def text(self) -> str:
        self._fold()
        calls = {index: json.dumps(calls, ensure_ascii=False) for index, calls in self._calls.items()}
        return "\n\n".join("".join(self._parts[index]) + calls.get(index, "") for index in sorted(self._parts))


def whole(payloads: Iterable[bytes]) -> dict[str, Any]:
    """Fold `chat.completion.chunk`s or `text_completion` chunks into the answer of a call without streaming."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in _parsed(payloads):
        if not answer:
            answer = {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
        if chunk.get("usage"):
            answer["usage"] = chunk["usage"]
        for part in chunk.get("choices", []):
            index, is_chat = part.get("index", 0), "delta" in part
            if (choice := choices.get(index)) is None:
                choice = choices[index] = _empty_chat(index) if is_chat else _empty_text(index)
            (_fold_chat if is_chat else _fold_text)(choice, part)
    usage = answer.pop("usage", None)
    if answer.get("object") == "chat.completion.chunk":
        answer["object"] = "chat.completion"
    answer["choices"] = [choices[index] for index in sorted(choices)]
    if usage is not None:
        answer["usage"] = usage
    return answer


def _parsed(payloads: Iterable[bytes]) -> list[dict[str, Any]]:
    """All in one call of the parser, because a call for each chunk takes three times as long."""
    return quick_json.loads(b"[" + b",".join(payloads) + b"]")  # type: ignore[no-any-return]


def _empty_chat(index: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": None}


def _empty_text(index: int) -> dict[str, Any]:
    return {"index": index, "text": "", "logprobs": None, "finish_reason": None}


def _fold_chat(choice: dict[str, Any], part: dict[str, Any]) -> None:
    delta, message = part["delta"] or {}, choice["message"]
    for name, text in delta.items():
        if text is not None and name in TEXTS:
            message[name] = (message.get(name) or "") + text
    if delta.get("tool_calls"):
        message["tool_calls"] = _merge_calls(message.get("tool_calls", []), delta["tool_calls"])
        message["content"] = message["content"] or None
    _fold_end(choice, part)


def _fold_text(choice: dict[str, Any], part: dict[str, Any]) -> None:
    choice["text"] += part.get("text") or ""
    _fold_end(choice, part)


def _fold_end(choice: dict[str, Any], part: dict[str, Any]) -> None:
    if part.get("logprobs"):
        choice["logprobs"] = _merge_logprobs(choice["logprobs"], part["logprobs"])
    if part.get("finish_reason"):
        choice["finish_reason"] = part["finish_reason"]


def _merge_logprobs(before: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """Extends each field of `before`, because each is a list by token (`content`; or `tokens`, `token_logprobs`, …)."""
    if before is None:
        return more
    for key, value in more.items():
        if isinstance(value, list) and isinstance(before.get(key), list):
            before[key] += value  # in place: an answer may have a chunk for each of many thousand tokens
        else:
            before[key] = value or before.get(key)
    return before


def _merge_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A tool call's first delta has its name; the following ones append to its arguments."""
    merged = [dict(call, function=dict(call["function"])) for call in calls]
    for delta in deltas:
        index = delta.get("index", len(merged))
        while len(merged) <= index:
            merged.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = merged[index], delta.get("function") or {}
        call["id"] = delta.get("id") or call["id"]
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
    return merged
