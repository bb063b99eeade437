"""Grammars over a model's vocabulary, by llguidance (ADR 79)."""

import ctypes
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import llama_cpp
import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from functions.inference.errors import TooCostly, UnsupportedSchema
from functions.inference.grammar.grammar import Grammar, schema_text
from functions.inference.llama.vocab import LlamaVocab

if TYPE_CHECKING:
    from functions.inference.grammar.check import AnswerCheck

LIMITS = LLParserLimits(
    max_items_in_row=1_000,
    initial_lexer_fuel=500_000,
    step_lexer_fuel=50_000,
    step_max_items=5_000,
    max_lexer_states=10_000,  # 1 to 2 kB each
    max_grammar_size=50_000,
    verbose_errors=False,
)
SPECIAL = b"\xff"
"""llguidance never allows a token that begins with this byte, except for the ends that it is told."""
KEPT_KEYS = 1_000
SEARCH_S = 0.02
"""CPU seconds for finding out which part of a schema does not compile."""


class GrammarCompiler:
    """Built once a model: it reads the whole vocabulary (half a second for 150,000 tokens)."""

    def __init__(self, vocab: LlamaVocab) -> None:
        self._compiled: dict[bytes, None] = {}
        pieces = vocab.pieces()
        for token in vocab.control_ids():
            pieces[token] = SPECIAL + pieces[token]
        tokenize = ctypes.cast(llama_cpp.llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value
        self._tokenizer = LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
            tokens=pieces, vocab_ptr=vocab.vocab, tokenize_fptr=tokenize, eos_token=sorted(vocab.end_tokens)
        )

    def matcher(self, grammar: Grammar) -> "Matcher":
        """For one job. Raises UnsupportedSchema. Safe from any thread; it holds no lock while it compiles."""
        found = LLMatcher(self._tokenizer, grammar.text, limits=LIMITS, log_level=0)
        if found.is_error():
            raise self._reason(grammar, found.get_error())
        check = grammar.check(one_of=bool(found.get_grammar_warnings()))
        return Matcher(found, self._tokenizer.vocab_size, grammar.checkers[-1].param, check)

    def compile_once(self, key: bytes, grammar: Callable[[], Grammar]) -> None:
        """Find out whether the grammar compiles, unless the one of this `key` did. Raises as `matcher`.

        For tools that need not be called: what cannot be enforced is refused however the choice is made."""
        if key not in self._compiled:
            self.matcher(grammar())
            self._compiled[key] = None
            if len(self._compiled) > KEPT_KEYS:
                self._compiled.pop(next(iter(self._compiled)), None)

    def _reason(self, grammar: Grammar, error: str) -> UnsupportedSchema:
        until = time.thread_time() + SEARCH_S
        for checker in grammar.checkers:
            for at, part in checker.parts():
                if time.thread_time() > until:
                    break
                text = schema_text(part)
                if why := LLMatcher.validate_grammar(text, self._tokenizer, limits=LIMITS):
                    used = ", ".join(f"`{key}`" for key in part if key not in ("$defs", "x-guidance", "type"))
                    return checker.refused(at, f"cannot be enforced ({used}): {_short(why)}")
        return grammar.checkers[0].refused("#", f"cannot be enforced: {_short(error)}")


class Matcher:
    """See `engine.jobs.Matcher`."""

    def __init__(self, matcher: LLMatcher, vocab_tokens: int, param: str, check: "AnswerCheck | None") -> None:
        self.param, self.check = param, check
        self._matcher = matcher
        self._bits: NDArray[np.uint32] = np.zeros((vocab_tokens + 31) // 32, np.uint32)
        self._target = self._bits.ctypes.data, self._bits.nbytes
        self._vocab_tokens = vocab_tokens

    def forced(self) -> list[int]:
        """The next tokens, as long as there is one way on only."""
        return list(self._matcher.compute_ff_tokens())

    def allows(self, token: int) -> bool:
        """Far cheaper than `allowed`, and in most cases enough: the model's own choice."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def allowed(self) -> NDArray[np.intp]:
        """The tokens that may come next. Raises TooCostly when that passes llguidance's limits."""
        self._matcher.unsafe_compute_mask_ptr(*self._target)
        self._check()
        bits = np.unpackbits(self._bits.view(np.uint8), count=self._vocab_tokens, bitorder="little")
        return np.flatnonzero(bits)

    def accept(self, token: int) -> None:
        """Take an allowed token. Raises as `allowed`."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise TooCostly(self.param)


def _short(error: str) -> str:
    return " ".join(error.split())[:160]
