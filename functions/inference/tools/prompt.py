"""Tools and past tool calls in a prompt. For templates without tools they are described in the messages."""

import hashlib
import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import pydantic_core

from functions.inference.errors import InvalidRequest
from functions.inference.openai import json_bounds
from functions.inference.openai.requests import Message, Tool, ToolCall
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


def described(tool: Tool) -> dict[str, Any]:
    """A tool as templates get it. Some of them fail without a description or parameters."""
    spec = tool.model_dump(exclude_none=True)
    function = {"description": "", "parameters": {"type": "object", "properties": {}}} | spec["function"]
    return spec | {"function": function}


def paired(messages: Sequence[Message]) -> list[Message]:
    """The turns, where every past call has an id, and every tool's message the id and the name of the call it answers.

    Raises InvalidRequest for a tool's message that answers no call of the turn before, as OpenAI's API does."""
    found: list[Message] = []
    calls: list[ToolCall] = []
    nameless: list[ToolCall] = []
    for at, message in enumerate(messages):
        if message.role != "tool":
            calls = [
                call if call.id else call.model_copy(update={"id": f"{at}.{place}"})
                for place, call in enumerate(message.tool_calls or ())
            ]
            nameless = [new for new, call in zip(calls, message.tool_calls or (), strict=True) if not call.id]
            found.append(message.model_copy(update={"tool_calls": calls}))
            continue
        if not calls:
            raise InvalidRequest("A tool's message must follow the `tool_calls` it answers.", f"messages[{at}].role")
        call = next((call for call in calls if call.id == message.tool_call_id), nameless[0] if nameless else None)
        if call is None:
            raise InvalidRequest("No call of the turn before has this id.", f"messages[{at}].tool_call_id")
        nameless = [other for other in nameless if other is not call]
        found.append(message.model_copy(update={"tool_call_id": call.id, "name": message.name or call.function.name}))
    return found


def one_call_a_turn(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Past turns of several calls as turns of one, each before its results: gpt-oss' template shows a turn's first call
    only, and Llama's refuses more."""
    single: list[dict[str, Any]] = []
    rest = list(turns)
    while rest:
        turn, *rest = rest
        calls = turn.get("tool_calls") or [None]
        results = list(takewhile(lambda other: other["role"] == "tool", rest)) if len(calls) > 1 else []
        rest = rest[len(results) :]
        for at, call in enumerate(calls):
            later = {"content": "", "thinking": "", "reasoning_content": ""} if at else {}
            single.append(turn if len(calls) == 1 else turn | {"tool_calls": [call]} | later)
            own = [result for result in results if result["tool_call_id"] == call["id"]] if results else []
            single += own
            results = [result for result in results if result not in own]
    return single


def call_id(given: str | None) -> str:
    """A call's id in prompts: nine letters and digits, because Mistral's templates take no other."""
    return hashlib.sha256((given or "").encode(errors="replace")).hexdigest()[:9]


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
        listed = [
            {"id": i, "type": "function", "function": call | {"arguments": _object(call["arguments"])}}
            for i, call in zip(ids, calls, strict=True)
        ]
        return seen | {"tool_calls": listed}
    texts = [f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls]
    return seen | {"content": "\n".join([seen["content"], *texts]).strip()}


def _object(arguments: Any) -> dict[str, Any]:
    """Arguments for a template that reads their members. What is no object becomes the one member of one."""
    return arguments if isinstance(arguments, dict) else {"arguments": arguments} if arguments else {}


def _arguments(text: str | dict[str, Any]) -> Any:
    """The value of the arguments. Text that is not JSON, or JSON of many members, stays text."""
    if isinstance(text, dict):
        return text
    if json_bounds.excess(text.encode()):
        return text
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)  # unlike `json`, it refuses lone surrogates
    except ValueError:
        return text
