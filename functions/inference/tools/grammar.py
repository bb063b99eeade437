"""Grammars that force a tool call, or an answer in JSON, and what may come before it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.grammar import Grammar, embedded
from functions.inference.grammar.response_format import grammar_for
from functions.inference.grammar.schema import MOST_POINTS, SchemaChecker
from functions.inference.openai.requests import AllowedToolChoice, ChatRequest, NamedToolChoice, ResponseFormat, Tool
from functions.inference.tools.arguments import ANNOTATIONS, NAME_CHARACTERS, is_free_text, stays_text, types_of
from functions.inference.tools.families import HARMONY, HERMES, XML, Family
from functions.inference.tools.parser import content, first_call, parser_for

ANY = "/(?s:.*)/"
SPACE = r"/\s{0,4}/"
"""Not without a bound, because weak models never end it."""

XML_RULES = rf"""any: ("<parameter=" /[^>\n]{{1,256}}/ ">\n" text)*
text: value "\n"
value[suffix="</parameter>"]: {ANY}
"""
OBJECT = {"type", "properties", "required", "additionalProperties", "$defs", "x-guidance"}
"""What XML can write of a checked schema."""
MOST_POINTS_OF_TOOLS = 8 * MOST_POINTS
"""That are looked at, by 10 µs each."""


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


@dataclass(frozen=True)
class Form:
    """How a model writes its answer. `shown`: the control tokens of the family's form, with their names. `thinks`: it
    reasons in tags; `inside`: the prompt ends within them."""

    family: Family = HERMES
    shown: Mapping[int, bytes] = field(default_factory=dict)
    thinks: bool = False
    inside: bool = False


def call_grammar(tools: Sequence[Tool], listed: Sequence[Tool], form: Form) -> Grammar:
    """The grammar of one call of one of `tools`, with arguments of that tool's schema. `listed`: the request's tools.
    All tools together cost what one schema may; the arguments of those beyond are checked when they are complete.

    Raises InvalidRequest or UnsupportedSchema.
    """
    names, family = [tool.function.name for tool in tools], form.family
    if len(set(names)) < len(names):
        raise InvalidRequest("Tool names must differ.", "tools")
    calls, checkers, points, left = [], [], float(MOST_POINTS), float(MOST_POINTS_OF_TOOLS)
    for tool in tools:
        schema = {"type": "object"} | (tool.function.parameters or {"properties": {}})
        most, param = min(MOST_POINTS, left), f"tools[{listed.index(tool)}].function.parameters"
        checker = SchemaChecker(schema, param, most, formats_hold=bool(tool.function.strict))
        checked = checker.checked()
        left -= (spent := most - checker.points)
        if loose := spent > points or (family is XML and not _can_write(schema, checked)):
            checked = checker.loosened()
        else:
            points -= spent
        opening, after_name, closing = family.written
        before = _written(opening + tool.function.name + after_name, form.shown)
        arguments = embedded(checked)
        if family is XML:
            arguments = "any" if loose else _parameters(schema, checked, checker)
        calls.append(f"{before} {arguments} {_written(closing, form.shown)}")
        checkers.append(checker)
    options, thought = "\n  | ".join(calls), thought_rules(form)
    start = f"start: {'thought ' if thought else ''}call\ncall: {options}\n"

    def read(answer: str) -> tuple[int, str] | None:
        call = first_call(parser_for(family, form.thinks, form.inside, schemas_of(tools)), answer)
        return (names.index(call[0]), call[1]) if call and call[0] in names else None

    return Grammar(start + thought + (XML_RULES if family is XML else ""), checkers, read)


def schemas_of(tools: Sequence[Tool]) -> dict[str, dict[str, Any]]:
    """The schema of each tool's arguments."""
    return {tool.function.name: tool.function.parameters or {} for tool in tools}


def answer_grammar(wanted: ResponseFormat | None, form: Form) -> Grammar | None:
    """The grammar of an answer in JSON, which reasoning may precede; None when plain text is requested.

    Raises InvalidRequest or UnsupportedSchema."""
    if not (thought := thought_rules(form)):
        return grammar_for(wanted)
    final = _written("<|channel|>final<|message|>", form.shown) if form.family is HARMONY else ""
    grammar = grammar_for(wanted, f"before: thought {final}\n{thought}")

    def read(answer: str) -> tuple[int, str]:
        return 0, content(parser_for(form.family, form.thinks, form.inside), answer)

    return grammar and replace(grammar, read=read)


def thought_rules(form: Form) -> str:
    """The rules of the reasoning that may come before a forced answer, because a model that is kept from it answers
    worse. Empty where the model does not reason."""
    shown = form.shown
    if form.family is HARMONY:
        if not {b"<|channel|>", b"<|message|>", b"<|end|>", b"<|start|>"} <= set(shown.values()):
            return ""
        begin, end = _written("<|channel|>analysis<|message|>", shown), _written("<|end|><|start|>assistant", shown)
        return f"thought: ({begin} {ANY} {end})?\n"
    if not form.thinks:
        return ""
    opening, close = form.family.thought
    body = f"body: {ANY} {_written(close, shown)}\n"
    if close.encode() not in shown.values():
        body = f"body[suffix={json.dumps(close)}]: {ANY}\n"
    before = f"{SPACE} {_written(opening, shown)}"
    return f"thought: body {SPACE}\n{body}" if form.inside else f"thought: ({before} body {SPACE})?\n{body}"


def _can_write(given: dict[str, Any], checked: dict[str, Any]) -> bool:
    """Whether XML can say all that the schema wants: each of its own properties by itself, or any."""
    names, others = checked.get("properties", {}).keys(), checked.get("additionalProperties", True)
    own = given.get("properties", {}).keys() >= names >= set(checked.get("required", ()))
    return own and checked.keys() <= OBJECT and (bool(names) or isinstance(others, bool))


def _parameters(given: dict[str, Any], checked: dict[str, Any], checker: SchemaChecker) -> str:
    """The arguments as XML: text as it is, everything else as JSON. Raises UnsupportedSchema."""
    if not checked.get("properties"):
        return "" if checked.get("additionalProperties") is False else "any"
    rules, end = [], json.dumps("\n</parameter>\n")
    for name, schema in checked["properties"].items():
        if schema is False:
            continue
        if set(name) & set(">\n") or not 0 < len(name) <= NAME_CHARACTERS:
            raise checker.refused("#/properties", "has a name that calls of this model's form cannot write")
        own = given["properties"][name]
        choices = own.get("enum") if isinstance(own, dict) and own.keys() <= {"enum", "type", *ANNOTATIONS} else ()
        if choices and types_of(own) == {"string"} and all(map(stays_text, choices)):
            value = f"({' | '.join(json.dumps(choice, ensure_ascii=False) for choice in choices)}) {end}"
        elif is_free_text(own):
            value = "text"
        else:
            node = schema if isinstance(schema, dict) else {}
            value = f"{embedded(node | {key: checked[key] for key in ('$defs', 'x-guidance')})} {end}"
        rule = f"{json.dumps(f'<parameter={name}>' + chr(10), ensure_ascii=False)} {value}"
        rules.append(rule if name in checked.get("required", ()) else f"({rule})?")
    return " ".join(rules)


def _written(text: str, shown: Mapping[int, bytes]) -> str:
    """Text in llguidance's Lark: control tokens by number, everything else in quotes."""
    tokens = {name.decode(): f"<[{token}]>" for token, name in shown.items()}
    names = "|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))
    pieces = re.split(f"({names})", text) if names else [text]
    return " ".join(tokens.get(piece) or json.dumps(piece, ensure_ascii=False) for piece in pieces if piece)
