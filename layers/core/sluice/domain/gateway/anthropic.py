"""Converts Anthropic's messages to chat messages, and chat chunks to its events. Pure functions and values.

Source: Anthropic's API reference, "Messages" and "Streaming messages".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.domain.errors import ModelUnavailable

Event = dict[str, Any]
Blocks = Sequence[Mapping[str, Any]]
STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}  # all others: end_turn


def chat_messages(system: str | Blocks | None, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`system`: of the request. Of a turn with tool results each becomes a chat message, and so does its text."""
    chat = [{"role": "system", "content": text_of(system)}] if system else []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        chat += _turns(message["role"], blocks)
    return chat


def _turns(role: str, blocks: Blocks) -> list[dict[str, Any]]:
    results = [
        {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text_of(block["content"])}
        for block in blocks
        if block["type"] == "tool_result"
    ]
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": json.dumps(block["input"], ensure_ascii=False)},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    content = _content_of(blocks)
    if results and not content and not calls:
        return results
    return [*results, {"role": role, "content": content, **({"tool_calls": calls} if calls else {})}]


def _content_of(blocks: Blocks) -> str | list[dict[str, Any]]:
    """The text, or parts if there are images. Those of tool results are the turn's own, because chat has none there."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        results = block["content"] if block["type"] == "tool_result" and isinstance(block["content"], list) else []
        for one in (block, *(each for each in results if each["type"] == "image")):
            if one["type"] == "text":
                parts.append({"type": "text", "text": one["text"]})
            elif one["type"] == "image":
                parts.append({"type": "image_url", "image_url": {"url": image_url(one["source"])}})
    return parts if any(part["type"] == "image_url" for part in parts) else text_of(blocks)


def image_url(source: Mapping[str, Any]) -> str:
    if source["type"] == "url":
        return str(source["url"])
    return f"data:{source['media_type']};base64,{source['data']}"


def text_of(content: str | Blocks | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block["text"] for block in content if block["type"] == "text")


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """The whole prompt counts as input, because tokens from the engine's memory cost the same."""
    return {
        "input_tokens": prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": completion_tokens,
    }


class Assembly:
    """A message while it is generated. Each method returns the events to send; `message` is its current state.

    Its content blocks follow one another: the next one starts when the one before is closed."""

    def __init__(self, message_id: str, model: str, *, thinks: bool) -> None:
        """`thinks`: whether the caller wants to read the model's reasoning."""
        self.message: dict[str, Any] = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(0, 0),
        }
        self._thinks = thinks
        self._open: dict[str, Any] | None = None  # the block being written
        self._parts: list[str] = []  # its text, or a tool call's arguments
        self._calls: dict[int, dict[str, Any]] = {}  # the chat delta's index → its block

    def begin(self, prompt_tokens: int) -> list[Event]:
        self.message["usage"] = usage_of(prompt_tokens, 0)
        return [{"type": "message_start", "message": {**self.message, "content": []}}]

    def chunk(self, chunk: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        for choice in chunk.get("choices", []):
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if thought and self._thinks:
                events += self._write("thinking", thought, signature="")
            if delta.get("content"):
                events += self._write("text", delta["content"])
            for call in delta.get("tool_calls") or []:
                events += self._add_call(call)
            if choice.get("finish_reason"):
                self._stopped(choice)
        if usage := chunk.get("usage"):
            self.message["usage"] = usage_of(usage["prompt_tokens"], usage["completion_tokens"])
        return events

    def _stopped(self, choice: Mapping[str, Any]) -> None:
        self.message["stop_reason"] = STOP_REASONS.get(choice["finish_reason"], "end_turn")
        if isinstance(stop := choice.get("stop_reason"), str) and choice["finish_reason"] == "stop":
            self.message |= {"stop_reason": "stop_sequence", "stop_sequence": stop}

    def _write(self, kind: str, text: str, **fields: str) -> list[Event]:
        events = []
        if self._open is None or self._open["type"] != kind:
            events = self._start({"type": kind, kind: "", **fields})
        self._parts.append(text)
        return [*events, self._delta({"type": f"{kind}_delta", kind: text})]

    def _add_call(self, delta: Mapping[str, Any]) -> list[Event]:
        """Errors: ModelUnavailable, if the model server mixes two calls, which this dialect cannot tell."""
        events: list[Event] = []
        index, function = delta.get("index", 0), delta.get("function") or {}
        if index not in self._calls:
            identifier = delta.get("id") or f"toolu_{self.message['id'].removeprefix('msg_')}_{index}"
            name = function.get("name") or ""
            block: dict[str, Any] = {"type": "tool_use", "id": identifier, "name": name, "input": {}}
            events = self._start(block)
            self._calls[index] = block
        if self._calls[index] is not self._open:
            raise ModelUnavailable("The model mixed two tool calls.")
        if arguments := function.get("arguments"):
            self._parts.append(arguments)
            events.append(self._delta({"type": "input_json_delta", "partial_json": arguments}))
        return events

    def _start(self, block: dict[str, Any]) -> list[Event]:
        closed = self._close()
        self.message["content"].append(block)
        self._open, self._parts = block, []
        return [*closed, {"type": "content_block_start", "index": self._index, "content_block": dict(block)}]

    def _delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        block, written = self._open, "".join(self._parts)
        if block["type"] == "tool_use":
            block["input"] = _object(written)
        else:
            block[block["type"]] = written
        self._open = None
        return [{"type": "content_block_stop", "index": self._index}]

    @property
    def _index(self) -> int:
        return len(self.message["content"]) - 1

    def end(self) -> list[Event]:
        """After the last chunk: close the open block, and send how the message ended."""
        closed = self._close()
        self.message["stop_reason"] = self.message["stop_reason"] or "end_turn"
        delta = {name: self.message[name] for name in ("stop_reason", "stop_sequence")}
        return [
            *closed,
            {"type": "message_delta", "delta": delta, "usage": self.message["usage"]},
            {"type": "message_stop"},
        ]


def _object(arguments: str) -> dict[str, Any]:
    """The arguments of a call, or none of them if the answer was cut off within."""
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
