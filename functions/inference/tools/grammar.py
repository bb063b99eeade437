"""A grammar that forces a tool call, for `tool_choice` "required" or a named tool."""

import json
from collections.abc import Sequence

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.grammar import Grammar
from functions.inference.grammar.schema import MOST_POINTS, SchemaChecker
from functions.inference.openai.requests import ChatRequest, NamedToolChoice, Tool
from functions.inference.tools.parser import CLOSE, OPEN


def forced_tools(request: ChatRequest) -> list[Tool]:
    """The tools of which the model must call one; empty when it need not call any. Raises InvalidRequest."""
    tools, choice = request.tools or [], request.tool_choice
    if choice is not None and choice != "none" and not tools:
        raise InvalidRequest("`tool_choice` needs `tools`.", "tool_choice")
    if choice == "required":
        return tools
    if isinstance(choice, NamedToolChoice):
        named = [tool for tool in tools if tool.function.name == choice.function.name]
        if not named:
            raise InvalidRequest(f"There is no tool named {choice.function.name!r:.80}.", "tool_choice")
        return named
    return []


def call_grammar(tools: Sequence[Tool], listed: Sequence[Tool]) -> Grammar:
    """The grammar of one call of one of `tools`, with arguments of that tool's schema. `listed`: the request's tools.

    Raises InvalidRequest or UnsupportedSchema.
    """
    if len({tool.function.name for tool in tools}) < len(tools):
        raise InvalidRequest("Tool names must differ.", "tools")
    calls, checkers, points = [], [], float(MOST_POINTS)
    for tool in tools:
        schema = {"type": "object"} | (tool.function.parameters or {"properties": {}})
        checker = SchemaChecker(schema, f"tools[{listed.index(tool)}].function.parameters", points)
        opening = json.dumps('{"name": "' + tool.function.name + '", "arguments": ')
        calls.append(f'{opening} %json {json.dumps(checker.checked(), ensure_ascii=False)} "}}"')
        checkers.append(checker)
        points = checker.points
    options = "\n  | ".join(calls)
    lark = f'start: "{OPEN}" BLANK? call BLANK? "{CLOSE}"\nBLANK: /[ \\n]/\ncall: {options}\n'
    return Grammar(lark, checkers)
