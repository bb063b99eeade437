"""A job: one request inside the engine, and the events it sends to the waiting thread."""

import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from functions.inference.errors import InferenceError


class Check(Protocol):
    def fault(self, text: str) -> str | None:
        """What is wrong with a finished answer, as the end of a sentence."""
        ...


FinishReason = Literal["stop", "length", "cancelled"]


class Matcher(Protocol):
    """Follows an answer through its grammar. Errors of its methods: TooCostly."""

    param: str
    """The request's field with the schema."""

    @property
    def check(self) -> Check | None:
        """For what the grammar does not enforce; the thread that reads the job's events runs it."""
        ...

    def forced(self) -> list[int]:
        """The next tokens, as long as there is one way on only."""
        ...

    def allows(self, token: int) -> bool: ...

    def allowed(self) -> Any:
        """An array of the tokens that may come next."""
        ...

    def accept(self, token: int) -> None: ...


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy; the other defaults do not change the distribution."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    matcher: "Matcher | None" = None
    """The grammar of this job's answer, compiled; it is not shared with other jobs."""
    ignore_eos: bool = False
    """For benchmarks: generate up to `max_tokens` even after an end token."""


@dataclass(frozen=True)
class TokenLogprob:
    """One token, its bytes, its log probability before sampling settings apply, and the likeliest alternatives. A
    prompt's first token has neither of the two."""

    token: int
    piece: bytes
    logprob: float | None
    top: tuple[tuple[int, bytes, float], ...] = ()


@dataclass(frozen=True)
class Started:
    """The job has a slot; `cached_tokens` of its prompt are decoded already."""

    cached_tokens: int


@dataclass(frozen=True)
class Delta:
    """Text to send (may be empty), with the counts after it."""

    text: str
    completion_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    reason: FinishReason
    completion_tokens: int


@dataclass(frozen=True)
class Failed:
    error: InferenceError


Event = Started | Delta | Finished | Failed


@dataclass(eq=False)
class Job:
    """One generation. The thread that made it reads `events`; only the decode thread writes the counts."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    shown: Mapping[int, bytes] = field(default_factory=dict)
    """Control tokens that are part of a tool call's form, with the text that the answer shows for them."""
    begun: str = ""
    """The beginning of the answer that stands in the prompt, because it is forced."""
    complete: Callable[[str], bool] | None = None
    """Given each piece of the answer's text by the decode thread; true ends the answer."""
    account: str = ""
    low: bool = False
    """A row of a batch: it takes no slot that a request may need at once, and of each batch what others leave."""
    deadline_s: float = float("inf")
    """Seconds on the monotonic clock."""
    logprobs: int | None = None
    """None: no log probabilities; else the number of alternatives per token (0 to 20)."""
    scores: bool = False
    """Whether the prompt is sent too, with its log probabilities. Then all of it is decoded anew."""
    events: "queue.SimpleQueue[Event]" = field(default_factory=queue.SimpleQueue)
    cancelled: bool = False
    queued_s: float = 0.0
    cached_tokens: int = 0
    completion_tokens: int = 0
    stopped_by: str | None = None
    """The stop string that ended the answer, set before its last event."""
    watch: Callable[[Event], None] | None = None
    """Called with each event by the thread that reads them, and with a last one: for traces."""
    again: "Callable[[str], Job] | None" = None
    """Makes the job of a second try, which is told what was wrong with the first. None: there is one try only."""
    wake: Callable[[], None] | None = None
    """Set by the engine: wakes an idle decode thread, so that it sees a cancellation at once."""

    def cancel(self) -> None:
        """Stop generating. Has no effect after the end; safe from any thread."""
        self.cancelled = True
        if self.wake:
            self.wake()

    def next_event(self, timeout_s: float) -> Event | None:
        """The next event, or None after `timeout_s` seconds without one."""
        try:
            return self.events.get(timeout=timeout_s)
        except queue.Empty:
            return None
