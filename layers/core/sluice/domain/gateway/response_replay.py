"""The events of a finished response, made from what is stored of it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from sluice.domain.gateway.responses import Assembly, Event

Pieces = Mapping[str, Sequence[int]]
"""An item's id → the characters of each of its deltas."""


def replay(response: Mapping[str, Any], pieces: Pieces) -> list[Event]:
    """As the model wrote it; an item that is not in `pieces`, as if it had been written at once. The last event has the
    response as it is."""
    echoed = {name: value for name, value in response.items() if name not in ("id", "created_at")}
    fresh = {**echoed, "status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None}
    assembly = Assembly(response["id"], response["created_at"], fresh)
    for search in response["output"]:
        if search["type"] == "file_search_call":
            assembly.searched(search["queries"][0], search["results"], _cited(response["output"]))
    events = assembly.begin()
    for item in response["output"]:
        for choice in _choices(item, pieces.get(item["id"], ())):
            events += assembly.chunk({"choices": [choice]})
    if response["status"] in ("completed", "incomplete"):
        assembly.finish_reason = "length" if response["status"] == "incomplete" else "stop"
        events += assembly.end()[:-1]
    return [*events, ending(response, len(events))]


def ending(response: Mapping[str, Any], sequence: int) -> Event:
    return {"type": f"response.{response['status']}", "sequence_number": sequence, "response": response}


def _cited(output: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    parts = (part for item in output if item["type"] == "message" for part in item["content"])
    return [(cited["file_id"], cited["filename"]) for part in parts for cited in part["annotations"]]


def _choices(item: Mapping[str, Any], lengths: Sequence[int]) -> Iterator[dict[str, Any]]:
    if item["type"] == "message":
        part = item["content"][0]
        texts, logprobs = _cut(part["text"], lengths), part.get("logprobs") or []
        for number, text in enumerate(texts):
            its_own = slice(number, number + 1 if number + 1 < len(texts) else None)
            yield {"delta": {"content": text}, "logprobs": {"content": logprobs[its_own]}}
    elif item["type"] == "reasoning":
        for text in _cut(item["content"][0]["text"], lengths):
            yield {"delta": {"reasoning_content": text}}
    elif item["type"] == "function_call":
        index = int(item["id"].rpartition("_")[2])  # as `Assembly` makes the id
        for arguments in _cut(item["arguments"], lengths):
            function = {"name": item["name"], "arguments": arguments}
            yield {"delta": {"tool_calls": [{"index": index, "id": item["call_id"], "function": function}]}}


def _cut(text: str, lengths: Sequence[int]) -> list[str]:
    if sum(lengths) != len(text):
        return [text]
    return [text[start:end] for start, end in pairwise(accumulate(lengths, initial=0))] or [text]
