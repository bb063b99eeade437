"""The few llama.cpp calls the engine needs, as a Protocol: tests script a fake of it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from functions.inference.engine.jobs import Sampling, TokenLogprob


class Row(NamedTuple):
    """One token of a batch: its place in its sequence, and whether the logits after it are wanted."""

    token: int
    position: int
    seq: int
    wants_logits: bool


class Sampler(Protocol):
    """Chooses tokens for one job; owns C memory until `close`."""

    def sample(self, row: int) -> int | None:
        """The next token after batch row `row`; None when the grammar leaves none that could follow."""
        ...

    def close(self) -> None: ...


class Tokens(Protocol):
    """Text to tokens and back; safe from any thread."""

    vocab_tokens: int

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of `text`; with `special`, the names of control tokens in it become those tokens."""
        ...

    def piece(self, token: int) -> bytes: ...

    def is_end(self, token: int) -> bool: ...


class Backend(Tokens, Protocol):
    """A context with its memory; only the decode thread may call these."""

    context_tokens: int
    """Most tokens of one sequence."""
    sequences: int
    can_share_prefixes: bool

    def decode(self, rows: Sequence[Row]) -> int:
        """Run a batch: 0 done, 1 no room in the memory, anything else an error."""
        ...

    def forget(self, seq: int, from_position: int) -> bool:
        """Drop a sequence's state from a position on; False when the model can only drop all of it."""
        ...

    def share(self, source: int, target: int, tokens: int) -> None:
        """Let `target`, forgotten first, start with `source`'s first `tokens`."""
        ...

    def sampler(self, sampling: Sampling) -> Sampler:
        """Raises InvalidRequest for a grammar that llama.cpp does not accept."""
        ...

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob: ...
