"""Finds tool calls in generated text while it streams: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.

This is the format of Qwen's and Hermes' templates. For models whose template has no tools, the prompt asks for it. The
name is sent as soon as it is complete, the arguments in pieces.
"""

import json
import re
from dataclasses import dataclass

OPEN, CLOSE = "<tool_call>", "</tool_call>"
HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"arguments"\s*:\s*(?=[{\["])')


@dataclass(frozen=True)
class PlainText:
    text: str


@dataclass(frozen=True)
class CallStart:
    index: int
    name: str


@dataclass(frozen=True)
class CallArguments:
    index: int
    text: str


Part = PlainText | CallStart | CallArguments


class ToolCallParser:
    """`feed` takes text and returns parts; `finish` returns the rest as text."""

    def __init__(self) -> None:
        self._held = ""
        self._state = self._outside
        self.calls = 0
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
            return [PlainText(OPEN + left)]
        spaces_after_a_call = self.calls and not left.strip()
        return [PlainText(left)] if self._state == self._outside and left and not spaces_after_a_call else []

    def _outside(self) -> list[Part] | None:
        """Return text at once, except the beginning of a tag and trailing spaces (dropped before a call)."""
        at = self._held.find(OPEN)
        if at >= 0:
            before, self._held = self._held[:at].rstrip(), self._held[at + len(OPEN) :]
            self._state = self._body
            return [PlainText(before)] if before else []
        tag = next((n for n in range(len(OPEN) - 1, 0, -1) if self._held.endswith(OPEN[:n])), 0)
        end = len(self._held[: len(self._held) - tag].rstrip())
        safe, self._held = self._held[:end], self._held[end:]
        return [PlainText(safe)] if safe else None

    def _body(self) -> list[Part] | None:
        if head := HEAD.match(self._held):
            self._held = self._held[head.end() :]
            self._state, self._depth, self._in_string, self._escaped = self._arguments, 0, False, False
            self.calls += 1
            return [CallStart(self.calls - 1, head[1])]
        end = self._held.find(CLOSE)
        if end < 0:
            return None
        body, self._held = self._held[:end], self._held[end + len(CLOSE) :]
        self._state = self._outside
        return self._whole(body)

    def _whole(self, body: str) -> list[Part]:
        """A call whose keys are in another order."""
        try:
            call = json.loads(body)
            name, arguments = call["name"], json.dumps(call.get("arguments", {}), ensure_ascii=False)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return [PlainText(OPEN + body + CLOSE)]
        if not isinstance(name, str):
            return [PlainText(OPEN + body + CLOSE)]
        self.calls += 1
        return [CallStart(self.calls - 1, name), CallArguments(self.calls - 1, arguments)]

    def _arguments(self) -> list[Part] | None:
        if not self._held:
            return None
        end = self._end_of_value()
        text, self._held = self._held[:end], self._held[end:]
        if self._state == self._closing and not text:
            return []
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
                return at + 1
        return len(self._held)

    def _closing(self) -> list[Part] | None:
        at = self._held.find(CLOSE)
        if at < 0:
            return None
        self._held = self._held[at + len(CLOSE) :]
        self._state = self._outside
        return []
