"""Slots, and the choice of a slot for a new prompt, such that the longest shared prefix is not decoded again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from functions.inference.engine.generation import Generation
from functions.inference.engine.jobs import Job
from functions.inference.engine.lookup import Lookup

SHARE_AT_LEAST_TOKENS = 8
"""A shorter shared prefix is not copied: copying and losing the slot's own cache costs more than it saves."""


@dataclass(frozen=True)
class Following:
    """A slot waits until another slot (the leader) has decoded `tokens` of a shared prefix, and then copies them."""

    leader: "Slot"
    job: Job
    """The leader's job. When the leader has another job, the follower stops waiting."""
    tokens: int


@dataclass
class Slot:
    """One sequence of the context. `cache` lists the tokens whose state llama.cpp holds for it."""

    seq: int
    cache: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Tokens still to be decoded: the rest of the prompt, then one sampled token at a time."""
    guessed: list[int] = field(default_factory=list)
    """Tokens of the current batch after `pending`, in the hope that they will be sampled."""
    lookup: Lookup = field(default_factory=Lookup)
    job: Job | None = None
    generation: Generation | None = None
    last_used: int = 0
    taken_tokens: int = 0
    """The number of `pending` tokens in the current batch."""
    first_row: int = 0
    """The first of their rows."""
    prompt_calls: int = 0
    """Decode calls that took a part of the job's prompt."""
    started_s: float = 0.0
    following: Following | None = None

    @property
    def generating(self) -> bool:
        return self.job is not None and self.job.completion_tokens > 0

    @property
    def low(self) -> bool:
        return self.job is not None and self.job.low

    @property
    def scoring(self) -> bool:
        """Whether the logits of every row are needed, because the prompt gets log probabilities."""
        return self.job is not None and self.job.scores and not self.generating


class Placement(NamedTuple):
    """A prompt goes into `slot`, which starts with `keep_tokens` of `donor`'s state (`donor` may be `slot`)."""

    slot: Slot
    donor: Slot
    keep_tokens: int


def shared_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of leading tokens in common."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def leader_for(slots: Sequence[Slot], prompt: Sequence[int], have_tokens: int) -> Following | None:
    """The busy slot that is decoding a prompt which shares more than `have_tokens` leading tokens with this one.

    Requests with the same system prompt often arrive together: the first decodes it and the others wait to copy it.
    """
    best: Following | None = None
    for slot in slots:
        if slot.job is None or slot.generating:
            continue
        common = min(shared_prefix(slot.job.prompt, prompt), len(prompt) - 1)
        if common >= max(have_tokens + SHARE_AT_LEAST_TOKENS, best.tokens + 1 if best else 0):
            best = Following(slot, slot.job, common)
    return best


def place(slots: Sequence[Slot], prompt: Sequence[int], reuse: bool = True) -> Placement | None:
    """The free slot that needs the fewest tokens decoded, or None when all are busy.

    A slot's own prefix comes first. A longer one in another slot, busy or not, is copied into the free slot that was
    used longest ago. At least one token is left to decode, because its logits are needed.
    """
    free = [slot for slot in slots if slot.job is None]
    if not free:
        return None
    if not reuse:
        slot = min(free, key=lambda s: s.last_used)
        return Placement(slot, slot, 0)
    usable = len(prompt) - 1
    common = {slot.seq: min(shared_prefix(slot.cache, prompt), usable) for slot in slots}
    own = max(free, key=lambda s: (common[s.seq], -s.last_used))
    donor = max(slots, key=lambda s: common[s.seq])
    if common[donor.seq] >= common[own.seq] + SHARE_AT_LEAST_TOKENS:
        target = min(free, key=lambda s: (bool(s.cache), s.last_used))
        return Placement(target, donor, common[donor.seq])
    if common[own.seq] < SHARE_AT_LEAST_TOKENS:  # no useful prefix: replace the oldest cache, not a good one
        own = min(free, key=lambda s: (bool(s.cache), s.last_used))
    return Placement(own, own, common[own.seq])
