"""Prompt text to tokens. Only what a chat template itself writes becomes control tokens.

A chat template marks turns with control tokens such as `<|im_end|>`. A caller's text that contains such a name could
end its turn and speak as the system. So llama.cpp is never asked to find names of control tokens. Instead they are
replaced by markers in the template's own text before it is compiled (`mark`), and `encode` turns the markers of a
rendered prompt into tokens. Markers are lone surrogates: the JSON parser lets none through, so no caller can write one
(docs/adr/0080-only-a-templates-own-text-is-control.md).
"""

import re
from collections.abc import Iterable, Mapping

from functions.inference.engine.backend import ControlToken, Tokenizer
from functions.inference.errors import ContextTooLong

OPEN, CLOSE = "\ud800", "\udfff"
MARKER = re.compile(f"{OPEN}([0-9]+){CLOSE}")
HEAD, ROLE, TAIL = "\ud801", "\ud802", "\ud803"
ROLES = ("system", "user", "assistant", "tool")
CHARACTERS_A_TOKEN = 4  # of prose; only texts that are longer are looked at twice
TOKENS_AT_A_CUT = 8  # that the rest of a text may change
C_SPACES = " \t\n\v\f\r"


class Role(str):
    """A message's role, which is marked where a template writes it and equals the plain text elsewhere."""

    def __str__(self) -> str:
        return ROLE + str.__str__(self)

    def __add__(self, other: str) -> str:
        return str(self) + other

    def __radd__(self, other: str) -> str:
        return other + str(self)


class PromptTokenizer:
    """The prompt tokenizer of one model."""

    def __init__(self, tokenizer: Tokenizer, controls: Mapping[str, ControlToken]) -> None:
        self._tokenizer = tokenizer
        self._controls = controls
        self._names = _any_of(controls)
        self._strips = {control.token for control in controls.values() if control.strips_after}
        parted = {name: name.partition(role) for name in controls for role in ROLES if role in name[1:-1]}
        self._heads = sorted({head for head, _role, _tail in parted.values()}, key=len, reverse=True)
        self._tails = sorted({tail for _head, _role, tail in parted.values()}, key=len, reverse=True)
        self._composed = {f"{HEAD}{head}{ROLE}{role}{tail}{TAIL}": name for name, (head, role, tail) in parted.items()}
        self._compositions = _any_of(self._composed)

    def mark(self, own: str) -> str:
        """A piece of a template's own text with control tokens' names replaced by markers.

        Some templates compose a name: `'<|' + message['role'] + '|>'`. So such parts are marked, too."""
        marked = self._names.sub(lambda found: self._marker(found[0]), own)
        head = next((head for head in self._heads if marked.endswith(head)), None)
        tail = next((tail for tail in self._tails if marked.startswith(tail)), None)
        if head:
            marked = marked[: -len(head)] + HEAD + head
        return tail + TAIL + marked[len(tail) :] if tail else marked

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Tokens of a rendered prompt: markers become control tokens, everything else plain text.

        Raises ContextTooLong, as soon as that is certain."""
        whole = self._compositions.sub(lambda found: self._marker(self._composed[found[0]]), prompt)
        first, *rest = MARKER.split(whole.replace(HEAD, "").replace(ROLE, "").replace(TAIL, ""))
        tokens = plain_tokens(first, self._tokenizer, "messages")
        for token, text in zip(map(int, rest[::2]), rest[1::2], strict=True):
            if len(tokens) > self._tokenizer.context_tokens:
                raise ContextTooLong(len(tokens), self._tokenizer.context_tokens)
            tokens.append(token)
            stripped = text.lstrip(C_SPACES) if token in self._strips else text
            tokens += plain_tokens(stripped, self._tokenizer, "messages")
        return tuple(tokens)

    def tokens_named(self, names: Iterable[str]) -> dict[int, bytes]:
        """Those of the names that are control tokens here: the token, and its name as text."""
        return {self._controls[name].token: name.encode() for name in names if name in self._controls}

    def _marker(self, name: str) -> str:
        return f"{OPEN}{self._controls[name].token}{CLOSE}"


def plain_tokens(text: str, tokenizer: Tokenizer, param: str, *, frame: bool = False) -> list[int]:
    """Tokens of a caller's text. Raises ContextTooLong if its beginning is: all of a MiB would take a second."""
    most = tokenizer.context_tokens
    if len(text) > CHARACTERS_A_TOKEN * most:
        fewest = len(tokenizer.tokenize(text[: CHARACTERS_A_TOKEN * most])) - TOKENS_AT_A_CUT
        if fewest > most:
            raise ContextTooLong(fewest, most, param)
    return tokenizer.tokenize(text, frame=frame)


def _any_of(names: Mapping[str, object]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
