"""The llama.cpp calls that the engine needs, as protocols, so that tests can use a fake."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from functions.inference.engine.jobs import Sampling, TokenLogprob


class Row(NamedTuple):
    """One token of a batch: its position in its sequence, and whether the logits after it are needed."""

    token: int
    position: int
    seq: int
    wants_logits: bool


class ControlToken(NamedTuple):
    """A token that is no text, as the end of a turn."""

    token: int
    strips_after: bool
    """Whether the white space after it is dropped."""


class Sampler(Protocol):
    """Chooses tokens for one job; owns C memory until `close`."""

    grammar_s: float
    """CPU seconds that the job's grammar took for the last token."""

    def sample(self, row: int) -> int | None:
        """The next token after batch row `row`; None when the grammar allows none. Raises TooCostly."""
        ...

    def close(self) -> None: ...


class Tokenizer(Protocol):
    """Text to tokens and back; safe from any thread."""

    vocab_tokens: int

    context_tokens: int
    """Most tokens of one sequence."""

    def tokenize(self, text: str, *, frame: bool = False) -> list[int]:
        """Tokens of `text`. The name of a control token in it is plain text.

        `frame` adds the model's start and end tokens; chat templates write them themselves."""
        ...

    def piece(self, token: int) -> bytes: ...

    def is_end(self, token: int) -> bool: ...


class Backend(Tokenizer, Protocol):
    """A context with its memory; only the decode thread may call these."""

    sequences: int
    can_share_prefixes: bool
    can_forget_ends: bool
    """Whether `forget` can drop the last tokens of a sequence."""

    def decode(self, rows: Sequence[Row]) -> int:
        """Run a batch. Returns 0 when done, 1 when the key-value memory is full, any other number for an error."""
        ...

    def forget(self, seq: int, from_position: int) -> bool:
        """Drop a sequence's state from a position on. Returns False when the model can only drop all of it."""
        ...

    def share(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of `source` into `target`, which must have been forgotten before."""
        ...

    def sampler(self, sampling: Sampling) -> Sampler: ...

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob: ...
