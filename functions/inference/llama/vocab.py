"""Text to tokens and back. It only reads the model, so any thread may use it at any time."""

import ctypes
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import llama_cpp

from functions.inference.engine.backend import ControlToken

PIECE_BYTES = 512
CUT = "\ud800"
"""In no text, because UTF-8 cannot write it."""
CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN


class LlamaVocab:
    """The vocabulary of a loaded model."""

    context_tokens: int

    def __init__(self, model: Any) -> None:
        self.model = model
        self.vocab = llama_cpp.llama_model_get_vocab(model)
        self.vocab_tokens: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self._pieces = lru_cache(maxsize=200_000)(self._piece)
        self._controls = frozenset(token for token, kind in self._kinds() if kind & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL)
        self._frame_controls = sum(map(self._controls.__contains__, self._tokenize("", True)))
        self._ends = frozenset(t for t in range(self.vocab_tokens) if llama_cpp.llama_vocab_is_eog(self.vocab, t))

    def tokenize(self, text: str, *, frame: bool = False) -> list[int]:
        """See Tokenizer.

        A SentencePiece vocabulary may merge plain pieces into a control token: `s>` after `</`. Such a name is cut, and
        what cannot be cut is left out.
        """
        tokens = self._tokenize(text, frame)
        controls = self._frame_controls if frame else 0
        if sum(map(self._controls.__contains__, tokens)) <= controls:
            return tokens
        for name in {self.piece(token, True).decode(errors="ignore") for token in self._controls.intersection(tokens)}:
            text = text.replace(name, name[:1] + CUT + name[1:]) if len(name) > 1 else text
        plain = [token for part in text.split(CUT) for token in self._tokenize(part, False)]
        framed = self._tokenize("", True) if frame else []
        return [*framed[:1], *(token for token in plain if token not in self._controls), *framed[1:]]

    def _tokenize(self, text: str, frame: bool) -> list[int]:
        raw = text.encode()
        room = len(raw) + 8  # at most one token a byte, plus a leading space
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), buffer, room, frame, False)
        if count < 0:
            buffer = (llama_cpp.llama_token * -count)()
            count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), buffer, -count, frame, False)
        return list(buffer[:count])

    def piece(self, token: int, special: bool = False) -> bytes:
        """A token's bytes; control tokens are empty unless `special`."""
        return self._pieces(token, special)

    def is_end(self, token: int) -> bool:
        """Whether the token ends a turn or the text."""
        return token in self._ends

    @property
    def start_token(self) -> int:
        """The token for an empty prompt."""
        bos: int = llama_cpp.llama_vocab_bos(self.vocab)
        return bos if bos >= 0 else max(0, llama_cpp.llama_vocab_eos(self.vocab))

    def infill(self, before: Sequence[int], after: Sequence[int]) -> list[int] | None:
        """The prompt for the text between the two; None if the model has no tokens for it."""
        prefix, suffix, middle = (
            getattr(llama_cpp, f"llama_vocab_fim_{name}")(self.vocab) for name in ("pre", "suf", "mid")
        )
        if min(prefix, suffix, middle) < 0:
            return None
        start = [self.start_token] if llama_cpp.llama_vocab_get_add_bos(self.vocab) else []
        return [*start, prefix, *before, suffix, *after, middle]

    @property
    def end_tokens(self) -> frozenset[int]:
        return self._ends

    def control_ids(self) -> list[int]:
        return [token for token, kind in self._kinds() if kind & CONTROL]

    def _kinds(self) -> Iterator[tuple[int, int]]:
        return ((token, llama_cpp.llama_vocab_get_attr(self.vocab, token)) for token in range(self.vocab_tokens))

    def control_tokens(self) -> dict[str, ControlToken]:
        """The control tokens by their written names, as `<|im_end|>`."""
        found = {}
        for token in self.control_ids():
            stripped = bool(llama_cpp.llama_vocab_get_attr(self.vocab, token) & llama_cpp.LLAMA_TOKEN_ATTR_RSTRIP)
            if name := self.piece(token, True).decode(errors="ignore"):
                found[name] = ControlToken(token, stripped)
        return found

    def pieces(self) -> list[bytes]:
        """The bytes of all tokens, control tokens by their written names."""
        return [self._piece(token, True) for token in range(self.vocab_tokens)]

    def special_text(self, name: str) -> str:
        """The written form of `bos` or `eos`, empty where the model has none."""
        token: int = getattr(llama_cpp, f"llama_vocab_{name}")(self.vocab)
        return self.piece(token, True).decode(errors="ignore") if token >= 0 else ""

    def chat_template(self) -> str | None:
        """The chat template in the model file, if any."""
        raw = llama_cpp.llama_model_chat_template(self.model, None)
        return raw.decode() if raw else None

    def _piece(self, token: int, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, PIECE_BYTES, 0, special)
        return buffer.raw[: max(0, count)]
