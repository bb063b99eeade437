"""A grammar that forces a tool call, for `tool_choice` "required" or a named tool."""

import json
import re
from collections.abc import Mapping, Sequence

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.grammar import Grammar
from functions.inference.grammar.schema import MOST_POINTS, SchemaChecker
from functions.inference.openai.requests import AllowedToolChoice, ChatRequest, NamedToolChoice, Tool
from functions.inference.tools.families import HERMES, Family


def forced_tools(request: ChatRequest) -> list[Tool]:
    """The tools of which the model must call one; empty when it need not call any. Raises InvalidRequest."""
    tools, choice = request.tools or [], request.tool_choice
    if choice is not None and choice != "none" and not tools:
        raise InvalidRequest("`tool_choice` needs `tools`.", "tool_choice")
    if choice == "required":
        return tools
    if isinstance(choice, AllowedToolChoice):
        named = offered_tools(request)
        return named if choice.allowed_tools.mode == "required" else []
    if isinstance(choice, NamedToolChoice):
        named = [tool for tool in tools if tool.function.name == choice.function.name]
        if not named:
            raise InvalidRequest(f"There is no tool named {choice.function.name!r:.80}.", "tool_choice")
        return named
    return []


def offered_tools(request: ChatRequest) -> list[Tool]:
    """The tools that the model sees. Raises InvalidRequest for an allowed tool that does not exist."""
    tools, choice = request.tools or [], request.tool_choice
    if choice == "none":
        return []
    if not isinstance(choice, AllowedToolChoice):
        return tools
    names = {tool.function.name for tool in choice.allowed_tools.tools}
    if missing := names - {tool.function.name for tool in tools}:
        raise InvalidRequest(f"There is no tool named {min(missing)!r:.80}.", "tool_choice")
    return [tool for tool in tools if tool.function.name in names]


def call_grammar(
    tools: Sequence[Tool], listed: Sequence[Tool], family: Family = HERMES, shown: Mapping[int, bytes] | None = None
) -> Grammar:
    """The grammar of one call of one of `tools`, with arguments of that tool's schema, in the family's form.

    `listed`: the request's tools. `shown`: the control tokens of the form, with their names.

    Raises InvalidRequest or UnsupportedSchema.
    """
    if len({tool.function.name for tool in tools}) < len(tools):
        raise InvalidRequest("Tool names must differ.", "tools")
    calls, checkers, frames, points = [], [], [], float(MOST_POINTS)
    for tool in tools:
        schema = {"type": "object"} | (tool.function.parameters or {"properties": {}})
        checker = SchemaChecker(schema, f"tools[{listed.index(tool)}].function.parameters", points)
        opening, after_name, closing = family.written
        before = _written(opening + tool.function.name + after_name, shown or {})
        arguments = json.dumps(checker.checked(), ensure_ascii=False)
        calls.append(f"{before} %json {arguments} {_written(closing, shown or {})}")
        checkers.append(checker)
        frames.append((opening + tool.function.name + after_name, closing))
        points = checker.points
    options = "\n  | ".join(calls)
    return Grammar(f"start: call\ncall: {options}\n", checkers, frames)


def _written(text: str, shown: Mapping[int, bytes]) -> str:
    """Text in llguidance's Lark: control tokens by number, everything else in quotes."""
    tokens = {name.decode(): f"<[{token}]>" for token, name in shown.items()}
    names = "|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))
    pieces = re.split(f"({names})", text) if names else [text]
    return " ".join(tokens.get(piece) or json.dumps(piece, ensure_ascii=False) for piece in pieces if piece)
