"""Whether what a server streams is a chunk of OpenAI's form, so that nothing after the adapter meets another one."""

import json
from typing import Any, NoReturn

from sluice.domain.gateway.chunks import TEXTS

MAX_CALLS = 1_000  # tool calls of an answer
MAX_CHOICES = 1_000_000
MAX_COUNT = 1_000_000_000  # tokens; no client reads a number of any length
COUNTS = ("prompt_tokens", "completion_tokens")
DETAILS = ("prompt_tokens_details", "completion_tokens_details")
TEXT, OBJECT, LIST = (str, type(None)), (dict, type(None)), (list, type(None))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_number)  # NaN and Infinity are Python's own


def parsed(payload: bytes) -> dict[str, Any]:
    """An event of an answer: a chunk, or an object with an `error`. Errors: ValueError, if it is neither."""
    try:
        event = _decoder.decode(payload.decode())
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(event, dict) or not (event.get("error") or _is_chunk(event)):
        raise ValueError("no chunk")
    return event


def with_sound_usage(chunk: dict[str, Any]) -> bool:
    """Leave of the usage what a client can read, and None if the server tells no counts. → whether that changed it."""
    usage = chunk.get("usage")
    if usage:
        chunk["usage"] = _sound(usage)
    return chunk.get("usage") != usage


def _sound(usage: dict[str, Any]) -> dict[str, Any] | None:
    counts = {name: usage[name] for name in (*COUNTS, "total_tokens") if _is_count(usage.get(name))}
    if not all(name in counts for name in COUNTS):
        return None
    counts = {"total_tokens": sum(counts[name] for name in COUNTS)} | counts
    details = {name: value for name, value in usage.items() if name in DETAILS and _are_details(value)}
    rest = {name: value for name, value in usage.items() if name not in DETAILS}
    return {**rest, **{name: min(count, MAX_COUNT) for name, count in counts.items()}, **details}


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_details(details: Any) -> bool:
    return isinstance(details, OBJECT) and all(value is None or _is_count(value) for value in (details or {}).values())


def _is_chunk(event: dict[str, Any]) -> bool:
    choices = event.get("choices")
    return isinstance(choices, list) and isinstance(event.get("usage"), OBJECT) and all(map(_is_choice, choices))


def _is_choice(choice: Any) -> bool:
    return (
        isinstance(choice, dict)
        and _is_index(choice, MAX_CHOICES)
        and isinstance(choice.get("text"), TEXT)
        and isinstance(choice.get("finish_reason"), TEXT)
        and isinstance(choice.get("logprobs"), OBJECT)
        and isinstance(delta := choice.get("delta"), OBJECT)
        and (delta is None or _is_delta(delta))
    )


def _is_delta(delta: dict[str, Any]) -> bool:
    if not all(isinstance(delta.get(name), TEXT) for name in ("role", *TEXTS)):
        return False
    calls = delta.get("tool_calls")
    return isinstance(calls, LIST) and all(map(_is_call, calls or ()))


def _is_call(call: Any) -> bool:
    if not isinstance(call, dict) or not _is_index(call, MAX_CALLS) or not isinstance(call.get("id"), TEXT):
        return False
    function = call.get("function")
    return isinstance(function, OBJECT) and all(
        isinstance((function or {}).get(name), TEXT) for name in ("name", "arguments")
    )


def _is_index(numbered: dict[str, Any], most: int) -> bool:
    index = numbered.get("index", 0)
    return type(index) is int and 0 <= index < most
