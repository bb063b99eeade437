"""The slots, and one decode step over them. Only the decode thread runs this code."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from functions.inference.engine.backend import Backend
from functions.inference.engine.batch import plan
from functions.inference.engine.generation import Generation
from functions.inference.engine.grammar_watch import GrammarWatch
from functions.inference.engine.jobs import Failed, Finished, FinishReason, Job, Started
from functions.inference.engine.lookup import Lookup
from functions.inference.engine.prefill_budget import FEWEST_TOKENS, JUDGED_CALLS, PrefillBudget
from functions.inference.engine.service_rate import ServiceRate
from functions.inference.engine.slots import Slot, leader_for, place, shared_prefix
from functions.inference.errors import GenerationFailed, InferenceError, PromptTooSlow

NO_ROOM = 1
"""llama_decode returns this when the key-value memory has no free cells."""


@dataclass(frozen=True)
class EngineLimits:
    """Limits of the engine, independent of the requests."""

    slots: int = 8
    batch_tokens: int = 512
    step_target_ms: int = 100
    queue_places: int = 64
    queue_wait_s: float = 30.0
    guess: bool = True
    """Whether an answer's next tokens are guessed where it repeats what was before (ADR 118)."""


class Decoder:
    """Jobs in slots, decoded together, one batch at a time."""

    def __init__(self, backend: Backend, limits: EngineLimits, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._batch_tokens = limits.batch_tokens
        self._guesses = limits.guess and backend.can_forget_ends
        self._clock = clock
        self._slots = [Slot(seq) for seq in range(limits.slots)]
        self._prefill = PrefillBudget(limits.step_target_ms, limits.batch_tokens)
        self._watch = GrammarWatch()
        self._turn = 0
        self.service_rate = ServiceRate(limits.slots)
        self.steps = self.decoded_tokens = 0

    @property
    def running(self) -> Counter[str]:
        """Jobs in slots by account; any thread may ask."""
        jobs = [slot.job for slot in self._slots]  # read once: the decode thread may end one meanwhile
        return Counter(job.account for job in jobs if job is not None)

    @property
    def full(self) -> bool:
        """Whether every slot is taken."""
        return all(slot.job is not None for slot in self._slots)

    @property
    def has_spare(self) -> bool:
        """Whether a row of a batch may have a slot: one always stays free for a request, if there are several."""
        return sum(slot.job is None for slot in self._slots) > min(1, len(self._slots) - 1)

    def occupy(self, job: Job) -> None:
        """Give a job a slot, reusing the longest prefix in memory."""
        reuses = self._backend.can_share_prefixes and not job.scores
        placement = place(self._slots, job.prompt, reuses)
        assert placement is not None, "the caller checks that a slot is free"
        slot, keep = placement.slot, placement.keep_tokens
        generation = Generation(job, self._backend, self._backend.sampler(job.sampling), self._watch)
        if placement.donor is not slot:
            self._backend.forget(slot.seq, 0)
            self._backend.share(placement.donor.seq, slot.seq, keep)
        elif not self._backend.forget(slot.seq, keep):
            self._backend.forget(slot.seq, 0)
            keep = 0
        following = leader_for(self._slots, job.prompt, keep) if reuses else None
        slot.cache, slot.pending, slot.following = list(job.prompt[:keep]), list(job.prompt[keep:]), following
        slot.job, slot.generation, slot.started_s, slot.prompt_calls = job, generation, self._clock(), 0
        job.cached_tokens = keep
        job.events.put(Started(keep))

    def drop(self, why: Callable[[Job], Failed | Finished | None]) -> None:
        """End the jobs for which `why` returns a last event."""
        for slot in self._slots:
            if slot.job is not None and (last := why(slot.job)) is not None:
                self._release(slot, last)

    def step(self) -> bool:
        """Decode one batch; False when there was nothing to decode."""
        self._join_leaders()
        self._guess()
        rows, ready = plan(self._slots, self._batch_tokens, self._prefill.tokens)
        if not rows:
            return False
        began_s = self._clock()
        outcome = self._backend.decode(rows)
        if outcome != 0:
            self._recover(outcome)
            return True
        took_s = self._clock() - began_s
        if not any(slot.guessed for slot in self._slots):  # those rows are no prompt's, and cost more
            self._prefill.record(len(rows), took_s * 1000)
        self._watch.decoded(took_s)
        self.steps += 1
        self.decoded_tokens += len(rows)
        for slot in self._slots:
            if slot.job is not None and slot.generation is not None:
                if slot.scoring and slot.taken_tokens:
                    slot.generation.score(slot.first_row, len(slot.cache), slot.taken_tokens)
                slot.cache += slot.pending[: slot.taken_tokens]
                del slot.pending[: slot.taken_tokens]
                slot.prompt_calls += not slot.generating and slot.taken_tokens > 0
        self._watch.running = sum(
            slot.job is not None and slot.job.sampling.matcher is not None for slot in self._slots
        )
        for slot, row in ready:
            self._advance(slot, row)
            if slot.guessed:
                self._backend.forget(slot.seq, len(slot.cache))
        self._drop_hopeless()
        return True

    def _guess(self) -> None:
        """Guess tokens of an answer that is alone, so that one call computes several; each is sampled as ever."""
        for slot in self._slots:
            slot.guessed = []
        busy = [(slot, slot.job) for slot in self._slots if slot.job is not None]
        if not self._guesses or len(busy) != 1:
            return
        slot, job = busy[0]
        if slot.generating and job.sampling.matcher is None:
            most_tokens = min(FEWEST_TOKENS, self._batch_tokens, job.max_tokens - job.completion_tokens) - 1
            slot.guessed = slot.lookup.guess(slot.cache, slot.pending[0], most_tokens)

    def _drop_hopeless(self) -> None:
        """End jobs whose prompt alone takes longer than they have, once they had a few calls."""
        for slot in self._slots:
            job = slot.job
            if job is None or slot.generating or slot.prompt_calls < JUDGED_CALLS:
                continue
            left_s = job.deadline_s - self._clock()
            if (needed_s := self._prefill.seconds_for(len(slot.pending))) > left_s:
                self._release(slot, Failed(PromptTooSlow(len(job.prompt), needed_s, max(0.0, left_s))))

    def _join_leaders(self) -> None:
        """Copy a leader's decoded prefix to its followers. If the leader ended early, they decode it themselves."""
        for slot in self._slots:
            following, job = slot.following, slot.job
            if following is None or job is None:
                continue
            if shared_prefix(following.leader.cache, job.prompt) >= following.tokens:
                self._backend.forget(slot.seq, 0)
                self._backend.share(following.leader.seq, slot.seq, following.tokens)
                slot.cache = list(job.prompt[: following.tokens])
                slot.pending = list(job.prompt[following.tokens :])
                job.cached_tokens = following.tokens
                slot.following = None
            elif following.leader.job is not following.job:
                slot.following = None

    def _advance(self, slot: Slot, row: int) -> None:
        assert slot.generation is not None and slot.job is not None, "batch.plan() returns busy slots only"
        if slot.job.max_tokens == 0:
            self._finish(slot, "length")
            return
        for guessed in (*slot.guessed, None):
            try:
                token, reason = slot.generation.advance(row)
            except InferenceError as error:
                self._release(slot, Failed(error))
                return
            if reason is not None:
                self._finish(slot, reason)
                return
            slot.pending = [token]
            if token != guessed:
                return
            slot.cache.append(token)
            row += 1

    def _finish(self, slot: Slot, reason: FinishReason) -> None:
        assert slot.generation is not None and slot.job is not None
        slot.generation.flush()
        self._release(slot, Finished(reason, slot.job.completion_tokens))

    def _release(self, slot: Slot, last: Failed | Finished) -> None:
        job, generation = slot.job, slot.generation
        assert job is not None and generation is not None
        generation.close()
        self._turn += 1
        slot.job, slot.generation, slot.following = None, None, None
        slot.pending, slot.last_used, slot.lookup = [], self._turn, Lookup()
        self.service_rate.record(self._clock() - slot.started_s)
        job.events.put(last)

    def _recover(self, outcome: int) -> None:
        """After a failed batch: if memory is full, drop the idle caches; otherwise fail the newest request."""
        for slot in self._slots:  # a failed call may have stored part of its tokens
            if slot.job is not None and not self._backend.forget(slot.seq, len(slot.cache)):
                self._backend.forget(slot.seq, 0)
                slot.pending, slot.cache = slot.cache + slot.pending, []
        idle = [slot for slot in self._slots if slot.job is None and slot.cache]
        if outcome == NO_ROOM and idle:
            self._forget_all(idle)
            return
        busy = [slot for slot in self._slots if slot.job is not None]
        newest = max(busy, key=lambda slot: slot.started_s)
        self._release(newest, Failed(GenerationFailed(f"The model could not go on (llama.cpp returned {outcome}).")))
        self._forget_all([newest])

    def _forget_all(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self._backend.forget(slot.seq, 0)
            slot.cache = []
