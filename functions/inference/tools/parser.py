"""Finds tool calls and reasoning in generated text while it streams, in the form of the model's family.

A call's name is sent as soon as it is complete, its arguments in pieces. Text that only looks like a call stays text.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from functions.inference.tools.arguments import Arguments, JsonArguments, possible_start
from functions.inference.tools.families import HARMONY, HERMES, LLAMA, Family
from functions.inference.tools.parts import CallArguments, CallStart, Parser, Part, PlainText
from functions.inference.tools.thinking import HarmonyParser, ThinkParser

MOST_HEAD_CHARACTERS = 512
"""What is longer without a name is no call."""


class ToolCallParser:
    """Parses every family but harmony."""

    def __init__(self, family: Family = HERMES, schemas: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """`schemas`: of each tool's arguments."""
        self._family = family
        self._schemas = schemas or {}
        self._head, self._end, self._again = map(re.compile, (family.head, family.end, family.again))
        self._held = self._opened = ""
        self._state = self._bare if family is LLAMA else self._outside
        self.calls = self.complete_calls = 0
        self._reader: Arguments = JsonArguments({})

    def feed(self, text: str) -> list[Part]:
        """The parts that later text cannot change."""
        self._held += text
        parts: list[Part] = []
        while (step := self._state()) is not None:
            parts += step
        return parts

    def finish(self) -> list[Part]:
        """The rest, at the end of the text. An incomplete call is returned as text."""
        left, self._held = self._held, ""
        if self._state == self._body:
            return [PlainText(self._opened + left)]
        if self._state not in (self._outside, self._bare) or (self.calls and not left.strip()):
            return []
        return [PlainText(left)] if left else []

    def _bare(self) -> list[Part] | None:
        """Llama's calls need no opening: an answer that begins with an object may be one."""
        text = self._held.lstrip()
        if not text:
            return None
        self._state = self._body if text[0] == "{" else self._outside
        return []

    def _outside(self) -> list[Part] | None:
        """Return text at once, except the beginning of a tag and trailing spaces (dropped before a call)."""
        opening = self._family.opening
        at = self._held.find(opening)
        if at >= 0:
            before = self._without_controls(self._held[:at]).rstrip()
            self._held = self._held[at + len(opening) :]
            self._state, self._opened = self._body, opening
            return [PlainText(before)] if before else []
        self._held = self._without_controls(self._held)
        tag = possible_start(self._held, opening, *self._family.controls)
        end = len(self._held[: len(self._held) - tag].rstrip())
        safe, self._held = self._held[:end], self._held[end:]
        return [PlainText(safe)] if safe else None

    def _without_controls(self, text: str) -> str:
        """Text between calls, without the tokens that frame them."""
        for name in self._family.controls if self._family is not HERMES else ():
            text = text.replace(name, "") if name != self._family.opening else text
        return text

    def _body(self) -> list[Part] | None:
        if head := self._head.match(self._held):
            self._held, self._state = self._held[head.end() :], self._arguments
            self._reader = self._family.arguments(self._schemas.get(head[1], {}))
            self.calls += 1
            return [CallStart(self.calls - 1, head[1])]
        if self._family is HERMES:
            return self._other_order()
        if len(self._held) <= MOST_HEAD_CHARACTERS:
            return None
        text, self._held = self._opened + self._held, ""
        self._state, self._opened = self._outside, ""
        return [PlainText(text)]

    def _other_order(self) -> list[Part] | None:
        """A call whose keys are in another order: it is complete at its closing tag."""
        body, closed, rest = self._held.partition("</tool_call>")
        if not closed:
            return None
        self._held, self._state = rest, self._outside
        try:
            call = json.loads(body)
            name, arguments = call["name"], json.dumps(call.get("arguments", {}))  # ASCII: it may hold half a character
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return [PlainText(self._opened + body + closed)]
        if not isinstance(name, str) or not name.isprintable():
            return [PlainText(self._opened + body + closed)]
        self.calls += 1
        self.complete_calls += 1
        return [CallStart(self.calls - 1, name), CallArguments(self.calls - 1, arguments)]

    def _arguments(self) -> list[Part] | None:
        piece, self._held, complete = self._reader.read(self._held)
        if complete:
            self.complete_calls += 1
            self._state = self._closing
        return [CallArguments(self.calls - 1, piece)] if piece else [] if complete else None

    def _closing(self) -> list[Part] | None:
        if found := self._again.match(self._held):
            self._held, self._state = self._held[found.end() :], self._body
            return []
        found = self._end.match(self._held)
        if found is None or (self._family is LLAMA and not self._held[found.end() :].strip(" \n;,")):
            return None
        self._held, self._state = self._held[found.end() :], self._outside
        return []


def parser_for(
    family: Family | None, thinks: bool, inside: bool, schemas: Mapping[str, Mapping[str, Any]] | None = None
) -> Parser:
    """The parser of one answer. `thinks`: the model reasons in tags; `inside`: the prompt ends within them;
    `schemas`: of each tool's arguments."""
    if family is HARMONY:
        return HarmonyParser()
    family = family or HERMES
    inner = ToolCallParser(family, schemas)
    return ThinkParser(inner, inside, family.thought) if thinks else inner


def has_first_call(parser: Parser) -> Callable[[str], bool]:
    """For `Job.complete`: takes pieces of text, and returns whether the first call in them is complete."""

    def complete(text: str) -> bool:
        parser.feed(text)
        return parser.complete_calls > 0

    return complete


def first_call(parser: Parser, text: str) -> tuple[str, str] | None:
    """Name and arguments of the first call in a whole answer."""
    parts = [*parser.feed(text), *parser.finish()]
    name = next((part.name for part in parts if isinstance(part, CallStart)), None)
    arguments = "".join(part.text for part in parts if isinstance(part, CallArguments) and part.index == 0)
    return None if name is None else (name, arguments)


def content(parser: Parser, text: str) -> str:
    """A whole answer without its reasoning."""
    parts = [*parser.feed(text), *parser.finish()]
    return "".join(part.text for part in parts if isinstance(part, PlainText))
