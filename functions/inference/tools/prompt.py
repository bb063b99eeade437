"""Tools and past tool calls in a prompt. For templates without tools they are described in the messages."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pydantic_core

from functions.inference.openai import json_bounds
from functions.inference.openai.requests import Message
from functions.inference.tools.families import HERMES, Family

INTRODUCTION = (
    "You may call functions. To call one, answer with a JSON object in <tool_call></tool_call> tags: "
    '<tool_call>\n{"name": <function name>, "arguments": <object>}\n</tool_call>\nThe functions are:\n'
)


def introduce(messages: list[dict[str, Any]], specs: Sequence[dict[str, Any]], family: Family) -> list[dict[str, Any]]:
    """Adds the list of tools to the system message, for templates without tools."""
    opening, after_name, closing = family.written
    own = f"You may call functions. To call one, answer {opening}<function name>{after_name}<object>{closing}\n"
    listed = (INTRODUCTION if family is HERMES else own + "The functions are:\n") + "\n".join(
        json.dumps(spec["function"], ensure_ascii=False) for spec in specs
    )
    if messages and messages[0]["role"] == "system":
        first = messages[0] | {"content": f"{messages[0]['content']}\n\n{listed}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": listed}, *messages]


def call_id(given: str | None) -> str:
    """A call's id in prompts: nine letters and digits, because Mistral's templates take no other."""
    return hashlib.sha256((given or "").encode()).hexdigest()[:9]


def tool_turn(message: Message, seen: dict[str, Any], knows_tools: bool) -> dict[str, Any]:
    """A past call or its result, in a form that the template can render."""
    if message.role == "tool":
        if knows_tools:
            return seen | {"tool_call_id": call_id(message.tool_call_id)}
        return {"role": "user", "content": f"<tool_response>\n{seen['content']}\n</tool_response>"}
    calls = [
        {"name": call.function.name, "arguments": _arguments(call.function.arguments)}
        for call in message.tool_calls or ()
    ]
    if not calls:
        return seen
    if knows_tools:
        ids = [call_id(call.id) for call in message.tool_calls or ()]
        listed = [{"id": i, "type": "function", "function": call} for i, call in zip(ids, calls, strict=True)]
        return seen | {"tool_calls": listed}
    texts = [f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls]
    return seen | {"content": "\n".join([seen["content"], *texts]).strip()}


def _arguments(text: str | dict[str, Any]) -> Any:
    """Templates expect an object. Text that is not JSON, or JSON of many members, stays text."""
    if isinstance(text, dict):
        return text
    if json_bounds.excess(text.encode()):
        return text
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)  # unlike `json`, it refuses lone surrogates
    except ValueError:
        return text
