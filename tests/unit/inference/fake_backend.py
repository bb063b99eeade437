"""A scripted model: it continues a prompt with the script that starts with that prompt. A token is one character."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from functions.inference.engine.backend import Row
from functions.inference.engine.jobs import Check, Job, Sampling, TokenLogprob

END = 0


def tokens(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


@dataclass
class FakeMatcher:
    """A grammar that allows everything and takes `takes_s` for each token."""

    takes_s: float
    param: str = "response_format"
    check: Check | None = None

    def forced(self) -> list[int]:
        return []

    def allows(self, token: int) -> bool:
        return True

    def allowed(self) -> range:
        return range(0x110000)

    def accept(self, token: int) -> None:
        pass


class FakeSampler:
    def __init__(self, backend: "FakeBackend", sampling: Sampling) -> None:
        self._backend = backend
        self.grammar_s = sampling.matcher.takes_s if isinstance(sampling.matcher, FakeMatcher) else 0.0
        backend.open_samplers += 1

    def sample(self, row: int) -> int | None:
        return self._backend.next_token(row)

    def close(self) -> None:
        self._backend.open_samplers -= 1


@dataclass
class FakeBackend:
    """Keeps sequences like llama.cpp, and fails when the engine's bookkeeping is wrong."""

    scripts: Sequence[str] = ()
    context_tokens: int = 64
    sequences: int = 4
    can_share_prefixes: bool = True
    can_forget_ends: bool = True
    vocab_tokens: int = 0x110000
    outcomes: list[int] = field(default_factory=list)
    """Return values of the next decode calls, instead of 0."""
    state: dict[int, list[int]] = field(default_factory=dict)
    batches: list[list[Row]] = field(default_factory=list)
    open_samplers: int = 0
    dead_ends: bool = False

    def decode(self, rows: Sequence[Row]) -> int:
        outcome = self.outcomes.pop(0) if self.outcomes else 0
        if outcome:
            return outcome
        self.batches.append(list(rows))
        for row in rows:
            held = self.state.setdefault(row.seq, [])
            assert row.position == len(held), "a token must follow the last one of its sequence"
            held.append(row.token)
            assert len(held) <= self.context_tokens
        return 0

    def next_token(self, row: int) -> int | None:
        if self.dead_ends:
            return None
        batch = self.batches[-1]
        assert batch[row].wants_logits
        text = "".join(map(chr, self.state[batch[row].seq][: batch[row].position + 1]))
        script = next((s for s in self.scripts if s.startswith(text)), text)
        return ord(script[len(text)]) if len(script) > len(text) else END

    def forget(self, seq: int, from_position: int) -> bool:
        del self.state.setdefault(seq, [])[from_position:]
        return True

    def share(self, source: int, target: int, tokens: int) -> None:
        assert not self.state.get(target), "the target must be forgotten first"
        self.state[target] = self.state[source][:tokens]

    def sampler(self, sampling: Sampling) -> FakeSampler:
        return FakeSampler(self, sampling)

    def tokenize(self, text: str, *, frame: bool = False) -> list[int]:
        return list(tokens(text))

    def piece(self, token: int) -> bytes:
        return chr(token).encode()

    def is_end(self, token: int) -> bool:
        return token == END

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """Minus the position of the token that the row holds, so that a test sees which row was read."""
        assert self.batches[-1][row].wants_logits
        return TokenLogprob(token, self.piece(token), -1.0 - self.batches[-1][row].position)


def job(prompt: str, max_tokens: int = 100, account: str = "", **more: object) -> Job:
    return Job(tokens(prompt), max_tokens, account=account, **more)  # type: ignore[arg-type]
