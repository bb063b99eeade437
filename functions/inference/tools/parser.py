"""Finds tool calls and reasoning in generated text while it streams, in the form of the model's family.

A call's name is sent as soon as it is complete, its arguments in pieces. Text that only looks like a call stays text.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from functions.inference.tools.families import HARMONY, HERMES, LLAMA, Family

MOST_HEAD_CHARACTERS = 512
"""What is longer without a name is no call."""


@dataclass(frozen=True)
class PlainText:
    text: str


@dataclass(frozen=True)
class Reasoning:
    text: str


@dataclass(frozen=True)
class CallStart:
    index: int
    name: str


@dataclass(frozen=True)
class CallArguments:
    index: int
    text: str


Part = PlainText | Reasoning | CallStart | CallArguments


class Parser(Protocol):
    """`feed` takes text and returns the parts that later text cannot change; `finish` returns the rest."""

    calls: int
    complete_calls: int
    """Calls whose arguments are complete."""

    def feed(self, text: str) -> list[Part]: ...

    def finish(self) -> list[Part]: ...


def possible_start(text: str, *names: str) -> int:
    """Length of the longest end of `text` that begins one of `names`, but is not all of it."""
    return max(
        (n for name in names for n in range(min(len(name) - 1, len(text)), 0, -1) if text.endswith(name[:n])), default=0
    )


class ToolCallParser:
    """Parses every family but harmony."""

    def __init__(self, family: Family = HERMES) -> None:
        self._family = family
        self._head, self._end, self._again = map(re.compile, (family.head, family.end, family.again))
        self._held = self._opened = ""
        self._state = self._bare if family is LLAMA else self._outside
        self.calls = self.complete_calls = 0
        self._depth = 0
        self._in_string = self._escaped = False

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
            self._held = self._held[head.end() :]
            self._state, self._depth, self._in_string, self._escaped = self._arguments, 0, False, False
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
            name, arguments = call["name"], json.dumps(call.get("arguments", {}), ensure_ascii=False)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return [PlainText(self._opened + body + closed)]
        if not isinstance(name, str):
            return [PlainText(self._opened + body + closed)]
        self.calls += 1
        self.complete_calls += 1
        return [CallStart(self.calls - 1, name), CallArguments(self.calls - 1, arguments)]

    def _arguments(self) -> list[Part] | None:
        if not self._held:
            return None
        end = self._end_of_value()
        text, self._held = self._held[:end], self._held[end:]
        return [CallArguments(self.calls - 1, text)]

    def _end_of_value(self) -> int:
        """The end of the JSON value in the held text. Changes the state to `closing` when the value is complete."""
        for at, char in enumerate(self._held):
            if self._in_string:
                self._in_string = self._escaped or char != '"'
                self._escaped = char == "\\" and not self._escaped
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
            if self._depth <= 0 and not self._in_string:
                self._state = self._closing
                self.complete_calls += 1
                return at + 1
        return len(self._held)

    def _closing(self) -> list[Part] | None:
        if found := self._again.match(self._held):
            self._held, self._state = self._held[found.end() :], self._body
            return []
        found = self._end.match(self._held)
        if found is None or (self._family is LLAMA and not self._held[found.end() :].strip(" \n;,")):
            return None
        self._held, self._state = self._held[found.end() :], self._outside
        return []


class HarmonyParser:
    """gpt-oss' form: messages of channels. `analysis` is reasoning; a message to `functions.f` is a call."""

    HEADER = re.compile(r"(?:<\|start\|>assistant)?([^\0]*?)<\|message\|>")
    ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>")
    TO = re.compile(r"to=functions\.([^\s<]{1,128})")

    def __init__(self) -> None:
        self._held = self._kind = ""
        self._in_header = True
        self.calls = self.complete_calls = 0

    def feed(self, text: str) -> list[Part]:
        """The parts that later text cannot change."""
        self._held += text
        parts: list[Part] = []
        while (step := self._header() if self._in_header else self._content()) is not None:
            parts += step
        return parts

    def finish(self) -> list[Part]:
        """The rest. A header without a message is left out."""
        left, self._held = self._held, ""
        if self._in_header:
            return [PlainText(left)] if left.strip() and "<|" not in left else []
        return [self._part(left)] if left else []

    def _header(self) -> list[Part] | None:
        start = self._held.lstrip()
        if start and not any(name.startswith(start[: len(name)]) for name in (*self.ENDS, "assistant", " to=")):
            self._in_header, self._kind = False, "final"
            return []
        if (found := self.HEADER.match(self._held)) is None:
            return None
        self._held, self._in_header = self._held[found.end() :], False
        if to := self.TO.search(found[1]):
            self.calls += 1
            self._kind = "call"
            return [CallStart(self.calls - 1, to[1])]
        self._kind = "analysis" if "analysis" in found[1] else "final"
        return []

    def _content(self) -> list[Part] | None:
        ends = [at for at in map(self._held.find, self.ENDS) if at >= 0]
        if ends:
            text, self._held = self._held[: min(ends)], self._held[min(ends) :]
            self._held = re.sub(r"^<\|(?:end|call|return)\|>", "", self._held)
            self._in_header = True
            self.complete_calls += self._kind == "call"
            return [self._part(text)] if text else []
        end = len(self._held) - possible_start(self._held, *self.ENDS)
        text, self._held = self._held[:end], self._held[end:]
        return [self._part(text)] if text else None

    def _part(self, text: str) -> Part:
        if self._kind == "call":
            return CallArguments(self.calls - 1, text)
        return Reasoning(text) if self._kind == "analysis" else PlainText(text)


class ThinkParser:
    """Takes `<think>…</think>` from the beginning of an answer. `inside`: the prompt already opened it."""

    OPEN, CLOSE = "<think>", "</think>"

    def __init__(self, inner: Parser, inside: bool) -> None:
        self._inner = inner
        self._held = ""
        self._state = "inside" if inside else "before"
        self.calls = self.complete_calls = 0

    def feed(self, text: str) -> list[Part]:
        """The parts that later text cannot change."""
        self._held += text
        parts: list[Part] = []
        if self._state == "before":
            start = self._held.lstrip()
            if start.startswith(self.OPEN):
                self._held, self._state = start[len(self.OPEN) :], "inside"
            elif not self.OPEN.startswith(start):
                self._state = "after"
        if self._state == "inside":
            parts = self._thought()
        if self._state == "space" and self._held.strip():
            self._held, self._state = self._held.lstrip(), "after"
        if self._state == "after":
            text, self._held = self._held, ""
            parts += self._inner.feed(text)
            self.calls, self.complete_calls = self._inner.calls, self._inner.complete_calls
        return parts

    def finish(self) -> list[Part]:
        """The rest."""
        left, self._held = self._held, ""
        if self._state == "inside":
            return [Reasoning(left)] if left else []
        before = self._inner.feed(left) if self._state == "before" else []
        return [*before, *self._inner.finish()]

    def _thought(self) -> list[Part]:
        thought, closed, rest = self._held.partition(self.CLOSE)
        if closed:
            self._held, self._state = rest, "space"
        else:
            end = len(thought) - possible_start(thought, self.CLOSE)
            thought, self._held = thought[:end], thought[end:]
        return [Reasoning(thought)] if thought else []


def parser_for(family: Family | None, thinks: bool, inside: bool) -> Parser:
    """The parser of one answer. `thinks`: the model writes `<think>`; `inside`: the prompt ends within it."""
    if family is HARMONY:
        return HarmonyParser()
    inner = ToolCallParser(family or HERMES)
    return ThinkParser(inner, inside) if thinks else inner


def has_first_call(parser: Parser) -> Callable[[str], bool]:
    """For `Job.complete`: takes pieces of text, and returns whether the first call in them is complete."""

    def complete(text: str) -> bool:
        parser.feed(text)
        return parser.complete_calls > 0

    return complete
