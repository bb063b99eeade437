"""Prompt text to tokens, protected against control tokens in messages.

A chat template marks turns with control tokens such as `<|im_end|>`. A message that contains such a name could end its
turn and speak as the system. So the names in messages are replaced by markers before the template is rendered; the
markers become plain text again when the prompt is tokenized.
"""

import re
from collections.abc import Sequence

from functions.inference.engine.backend import Tokenizer

OPEN, CLOSE = "\ue000", "\ue001"
MARKER = re.compile(f"{OPEN}([0-9]{{1,6}}){CLOSE}")


class PromptTokenizer:
    """The prompt tokenizer of one model."""

    def __init__(self, tokenizer: Tokenizer, control_texts: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._control_texts = list(control_texts)
        longest_first = sorted(self._control_texts, key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._index = {text: index for index, text in enumerate(self._control_texts)}

    def protect(self, text: str) -> str:
        """The text with control tokens' names replaced by markers."""
        if self._controls is None:
            return text
        return self._controls.sub(lambda found: f"{OPEN}{self._index[found[0]]}{CLOSE}", text)

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Tokens of a rendered prompt; the markers of `protect` become plain text again."""
        tokens: list[int] = []
        end = 0
        for marker in MARKER.finditer(prompt):
            index = int(marker[1])
            if index < len(self._control_texts):
                tokens += self._tokenizer.tokenize(prompt[end : marker.start()], special=True)
                tokens += self._tokenizer.tokenize(self._control_texts[index], special=False)
                end = marker.end()
        return (*tokens, *self._tokenizer.tokenize(prompt[end:], special=True))
