"""Old function calling: a request with `functions` becomes one with tools."""

import re
from collections.abc import Sequence
from typing import Literal

from sluice.domain.errors import InvalidModelRequest
from sluice.http.gateway.messages import FunctionDefinition, Message, NamedFunction, NamedTool, Tool, ToolCall

Choice = Literal["none", "auto"] | NamedTool


def call_turns(messages: Sequence[Message]) -> None:
    """Change the turns of the old form in place: a call gets an id, which the old form lacks, and its result names it.

    Errors: InvalidModelRequest (a result without a call)."""
    calls: Sequence[ToolCall] = []
    for turn, message in enumerate(messages):
        if message.function_call is not None:
            message.tool_calls = [ToolCall(id=f"call_{turn}", function=message.function_call)]
            message.function_call = None
        if message.role == "assistant":
            calls = message.tool_calls or []
        elif message.role == "function":
            call = next((call for call in calls if call.id and call.function.name == message.name), None)
            if call is None:
                param = f"messages[{turn}].name"
                raise InvalidModelRequest(f"{param}: must be the name in the `function_call` of the turn before", param)
            message.role, message.tool_call_id = "tool", call.id


def tool_choice_of(
    functions: Sequence[FunctionDefinition] | None,
    wanted: Literal["none", "auto"] | NamedFunction | None,
    tools: Sequence[Tool] | None,
) -> Choice | None:
    """None if the request has no functions. Errors: InvalidModelRequest."""
    if not functions:
        if wanted not in (None, "none"):
            raise InvalidModelRequest("function_call: needs `functions`", "function_call")
        return None
    if tools:
        raise InvalidModelRequest("functions: give `functions` or `tools`, not both", "functions")
    if isinstance(wanted, NamedFunction):
        return NamedTool(type="function", function=wanted)
    return wanted or "auto"


def field_in_old_form(param: str | None) -> str | None:
    """The field of the request for a field of what the model server got."""
    if param == "tool_choice":
        return "function_call"
    return param and re.sub(r"^tools(\[\d+\])?(\.function)?", lambda found: f"functions{found[1] or ''}", param)
