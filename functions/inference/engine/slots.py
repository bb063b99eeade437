"""Slots, and which of them a new prompt goes to: the longest shared prefix is not computed again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from functions.inference.engine.generation import Generation
from functions.inference.engine.jobs import Job

SHARE_AT_LEAST_TOKENS = 8
"""Below this, copying another slot's prefix and losing one's own costs more than it saves."""


@dataclass(frozen=True)
class Following:
    """A slot that waits for another's prompt to be decoded so far, to copy it instead of computing it as well."""

    leader: "Slot"
    job: Job
    """The leader's; when it has another one, there is nothing to wait for any more."""
    tokens: int


@dataclass
class Slot:
    """One sequence of the context. `cache` lists the tokens whose state llama.cpp holds for it."""

    seq: int
    cache: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Tokens still to be decoded: the rest of the prompt, then one sampled token at a time."""
    job: Job | None = None
    generation: Generation | None = None
    last_used: int = 0
    taken_tokens: int = 0
    """How many of `pending` the current batch holds."""
    started_s: float = 0.0
    following: Following | None = None

    @property
    def generating(self) -> bool:
        return self.job is not None and self.job.completion_tokens > 0


class Placement(NamedTuple):
    """Where a prompt goes: into `slot`, keeping `keep_tokens` of `donor`'s state (often the slot's own)."""

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
    """The slot still busy with a prompt that begins as this one does, further than the `have_tokens` there are.

    Requests with one system prompt often come together: the first computes it, the others wait for that.
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
    """The free slot that wastes least, or None when all are busy.

    Own prefix first; a longer one held by any other slot, busy or not, is copied over, into the free slot whose own
    cache was used longest ago. At least one token is always left to decode: its logits are needed.
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
    if common[own.seq] < SHARE_AT_LEAST_TOKENS:  # nothing worth keeping: do not spoil a good cache for it
        own = min(free, key=lambda s: (bool(s.cache), s.last_used))
    return Placement(own, own, common[own.seq])
