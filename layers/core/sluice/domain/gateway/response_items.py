"""Converts input items of the Responses API to chat messages, and the chat's counts to its usage. Pure functions.

Source: OpenAI's API reference, "Responses".
"""

from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]


def messages_from(items: str | Sequence[Mapping[str, Any]]) -> list[Message]:
    """Input as chat messages. Consecutive function calls become one assistant message, as chat templates expect."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[Message] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "file_search_call":
            continue  # a search of an earlier answer, not needed for this one
        if kind == "function_call":
            _add_call(messages, item)
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        else:
            role = "system" if item["role"] == "developer" else item["role"]
            messages.append({"role": role, "content": _text(item["content"])})
    return messages


def _text(content: str | Sequence[Mapping[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _add_call(messages: list[Message], item: Mapping[str, Any]) -> None:
    call = {
        "id": item["call_id"],
        "type": "function",
        "function": {"name": item["name"], "arguments": item["arguments"]},
    }
    if messages and messages[-1].get("tool_calls"):
        messages[-1]["tool_calls"].append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The chat's token counts under the names of the Responses API."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
