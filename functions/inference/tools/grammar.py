"""A grammar that forces a tool call, for `tool_choice` "required" or a named tool."""

from collections.abc import Sequence

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.gbnf import quoted
from functions.inference.grammar.schema_grammar import SchemaGrammar, render
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


def call_grammar(tools: Sequence[Tool]) -> str:
    """The grammar of one call of one of `tools`, with arguments of that tool's schema. Raises SchemaRefused."""
    if len({tool.function.name for tool in tools}) < len(tools):
        raise InvalidRequest("Tool names must differ.", "tools")
    rules: dict[str, str] = {}
    calls = []
    for index, tool in enumerate(tools):
        schema = {"type": "object"} | (tool.function.parameters or {})
        builder = SchemaGrammar(schema, prefix=f"tool-{index}-")
        arguments = builder.root()
        rules |= builder.rules
        opening = quoted('{"name": "' + tool.function.name + '", "arguments": ')
        calls.append(f'{opening} {arguments} "}}"')
    return render(f"root ::= {quoted(OPEN)} ws ({' | '.join(calls)}) ws {quoted(CLOSE)}", rules)
