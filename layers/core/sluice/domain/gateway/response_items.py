"""Converts input items of the Responses API to chat messages, and the chat's counts to its usage. Pure functions.

Source: OpenAI's API reference, "Responses".
"""

from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]
UNREAD = ("file_search_call", "reasoning")  # of an earlier answer, not needed for this one
IMAGE = "input_image"
ID_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}


def messages_from(items: str | Sequence[Mapping[str, Any]]) -> list[Message]:
    """Input as chat messages. Consecutive function calls become one assistant message, as chat templates expect."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[Message] = []
    for item in items:
        kind = item.get("type", "message")
        if kind in UNREAD:
            continue
        if kind == "function_call":
            _add_call(messages, item)
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": _text(item["output"])})
        else:
            role = "system" if item["role"] == "developer" else item["role"]
            messages.append({"role": role, "content": _content(item["content"])})
    return messages


def _content(content: str | Sequence[Mapping[str, Any]]) -> str | list[dict[str, Any]]:
    """One text, or parts if there are images."""
    if isinstance(content, str) or not any(part["type"] == IMAGE for part in content):
        return _text(content)
    return [_image(part) if part["type"] == IMAGE else {"type": "text", "text": part["text"]} for part in content]


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    detail = {"detail": part["detail"]} if part.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}


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


def items_from(messages: Sequence[Message], suffix: str) -> list[dict[str, Any]]:
    """The input items of a stored response, whose id ends in `suffix`, from its conversation."""
    items: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "tool":
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": content})
            continue
        calls = message.get("tool_calls") or []
        if content is not None:
            items.append({"type": "message", "role": role, "content": _parts(role, content)})
        for call in calls:
            items.append({"type": "function_call", "call_id": call["id"], **call["function"]})
    return [
        {"id": f"{ID_PREFIXES[item['type']]}_{suffix}_in{place}", "status": "completed", **item}
        for place, item in enumerate(items)
    ]


def _parts(role: str, content: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    text = {"type": "output_text", "annotations": []} if role == "assistant" else {"type": "input_text"}
    if isinstance(content, str):
        return [{**text, "text": content}]
    return [
        {**text, "text": part["text"]}
        if part["type"] == "text"
        else {"type": IMAGE, "image_url": part["image_url"]["url"], "detail": part["image_url"].get("detail", "auto")}
        for part in content
    ]


def usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The chat's token counts under the names of the Responses API."""
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": usage["total_tokens"],
    }
