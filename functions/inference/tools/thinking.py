"""Parsers of answers with reasoning."""

import re

from functions.inference.tools.arguments import possible_start
from functions.inference.tools.parts import CallArguments, CallStart, Parser, Part, PlainText, Reasoning


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

    def __init__(self, inner: Parser, inside: bool, tags: tuple[str, str]) -> None:
        self._inner = inner
        self._open, self._close = tags
        self._held = ""
        self._state = "inside" if inside else "before"
        self.calls = self.complete_calls = 0

    def feed(self, text: str) -> list[Part]:
        """The parts that later text cannot change."""
        self._held += text
        parts: list[Part] = []
        if self._state == "before":
            start = self._held.lstrip()
            if start.startswith(self._open):
                self._held, self._state = start[len(self._open) :], "inside"
            elif not self._open.startswith(start):
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
        thought, closed, rest = self._held.partition(self._close)
        if closed:
            self._held, self._state = rest, "space"
        else:
            end = len(thought) - possible_start(thought, self._close)
            thought, self._held = thought[:end], thought[end:]
        return [Reasoning(thought)] if thought else []
