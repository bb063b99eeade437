"""The continuous-batching loop: one thread owns the context and decodes for every running request at once.

Each `step` drops what is cancelled or too late, gives free slots to waiting requests, decodes one batch and hands
every slot its next token. Everything llama.cpp does happens in that thread; others only `submit` and `cancel`.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from functions.inference.backend import Backend
from functions.inference.batch import plan
from functions.inference.errors import (
    ContextTooLong,
    DeadlineExceeded,
    Draining,
    GenerationFailed,
    InferenceError,
    InvalidRequest,
    Overloaded,
)
from functions.inference.generation import Generation
from functions.inference.jobs import Failed, Finished, FinishReason, Job, Started
from functions.inference.pacing import Pacer
from functions.inference.queueing import FairQueue
from functions.inference.rate import ServiceRate
from functions.inference.slots import Slot, leader_for, place, shared_prefix

IDLE_WAIT_S = 0.25
NO_ROOM = 1
"""llama_decode's answer when the memory has no cells left."""


@dataclass(frozen=True)
class EngineLimits:
    """Bounds that hold whatever is asked."""

    slots: int = 8
    batch_tokens: int = 512
    step_target_ms: int = 100
    queue_places: int = 64
    queue_wait_s: float = 30.0


@dataclass(frozen=True)
class EngineStats:
    """A picture of the moment."""

    running: int
    waiting: int
    steps: int
    decoded_tokens: int
    retry_after_s: int


class Engine:
    """Submit jobs from any thread; call `start` once, in the process that will decode (never before a fork)."""

    def __init__(
        self,
        backend: Backend,
        limits: EngineLimits,
        clock: Callable[[], float] = time.monotonic,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.backend = backend
        self._limits = limits
        self._clock = clock
        self._on_crash = on_crash
        self._lock = threading.Lock()
        self._queue: FairQueue[Job] = FairQueue(limits.queue_places)
        self._slots = [Slot(seq) for seq in range(limits.slots)]
        self._rate = ServiceRate(limits.slots)
        self._pacer = Pacer(limits.step_target_ms, limits.batch_tokens)
        self._wake = threading.Event()
        self._draining = self._stopped = False
        self._steps = self._decoded_tokens = self._turn = 0
        self._thread: threading.Thread | None = None

    # ---- from any thread

    def start(self) -> None:
        """Begin to decode, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="llama-decode", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job:
        """Queue a job; its `max_tokens` is cut to what the context has left.

        Raises ContextTooLong, Overloaded (no place in the queue) or Draining.
        """
        if not job.prompt:
            raise InvalidRequest("The prompt is empty.", "prompt")
        room = self.backend.context_tokens - len(job.prompt)
        if room < 1:
            raise ContextTooLong(len(job.prompt), self.backend.context_tokens)
        job.max_tokens = min(job.max_tokens, room)
        job.queued_s = self._clock()
        job.wake = self._wake.set
        with self._lock:
            if self._draining or self._stopped:
                raise Draining("The model server is shutting down; try again.")
            if not self._queue.offer(job):
                raise Overloaded("All places in the queue are taken.", self._rate.retry_after_s(len(self._queue)))
        self._wake.set()
        return job

    def drain(self, wait_s: float) -> bool:
        """Take nothing new, let what was accepted end; what has not after `wait_s` fails. True when all ended."""
        with self._lock:
            self._draining = True
        self._wake.set()
        until = self._clock() + wait_s
        while self._clock() < until and not self._idle():
            time.sleep(0.02)
        complete = self._idle()
        self._stopped = True
        self._wake.set()
        if self._thread:
            self._thread.join(10)
        return complete

    def begin_drain(self) -> None:
        """Refuse new work from now on; does not wait (safe in a signal handler: takes no lock)."""
        self._draining = True
        self._wake.set()

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def alive(self) -> bool:
        """Whether the decode thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stats(self) -> EngineStats:
        waiting = len(self._queue)
        running = sum(slot.job is not None for slot in self._slots)
        return EngineStats(running, waiting, self._steps, self._decoded_tokens, self._rate.retry_after_s(waiting))

    def _idle(self) -> bool:
        with self._lock:
            return not len(self._queue) and all(slot.job is None for slot in self._slots)

    # ---- decode thread only

    def _run(self) -> None:
        try:
            while not self._stopped:
                if not self.step():
                    self._wake.wait(IDLE_WAIT_S)
                    self._wake.clear()
            self._fail_all(Draining("The model server stopped before the answer was complete; try again."))
        except BaseException as exc:
            self._draining = True
            self._fail_all(GenerationFailed("The model server failed; try again."))
            if self._on_crash:
                self._on_crash(exc)
            raise

    def step(self) -> bool:
        """One round; False when there was nothing to decode."""
        self._drop_unwanted()
        self._admit()
        self._join_leaders()
        rows, ready = plan(self._slots, self._limits.batch_tokens, self._pacer.budget_tokens)
        if not rows:
            return False
        began_s = time.perf_counter()
        outcome = self.backend.decode(rows)
        if outcome != 0:
            self._recover(outcome)
            return True
        self._pacer.record(len(rows), (time.perf_counter() - began_s) * 1000)
        self._steps += 1
        self._decoded_tokens += len(rows)
        for slot in self._slots:
            if slot.job is not None:
                slot.cache += slot.pending[: slot.taken_tokens]
                del slot.pending[: slot.taken_tokens]
        for slot, row in ready:
            self._advance(slot, row)
        return True

    def _drop_unwanted(self) -> None:
        now = self._clock()
        with self._lock:
            waiting = self._queue.items()
        for job in waiting:
            ended = self._why_drop(job, now)
            if ended is None and now - job.queued_s > self._limits.queue_wait_s:
                ended = Failed(Overloaded("Waited too long for a free slot.", self._retry_after_s()))
            if ended is not None:
                with self._lock:
                    self._queue.remove(job)
                job.events.put(ended)
        for slot in self._slots:
            if slot.job is not None and (ended := self._why_drop(slot.job, now)) is not None:
                self._release(slot, ended)

    @staticmethod
    def _why_drop(job: Job, now: float) -> Failed | Finished | None:
        if job.cancelled:
            return Finished("cancelled", job.completion_tokens)
        if now > job.deadline_s:
            return Failed(DeadlineExceeded("The request's deadline passed before the answer was complete."))
        return None

    def _admit(self) -> None:
        while True:
            with self._lock:
                running = Counter(slot.job.account for slot in self._slots if slot.job is not None)
                job = self._queue.peek(running)
                if job is None or all(slot.job is not None for slot in self._slots):
                    return
                self._queue.remove(job)
                self._queue.served(job)
                try:
                    self._occupy(job)
                except InferenceError as error:
                    job.events.put(Failed(error))

    def _occupy(self, job: Job) -> None:
        placement = place(self._slots, job.prompt, self.backend.can_share_prefixes)
        assert placement is not None, "a free slot was seen under the same lock"
        slot, keep = placement.slot, placement.keep_tokens
        generation = Generation(job, self.backend, self.backend.sampler(job.sampling))
        if placement.donor is not slot:
            self.backend.forget(slot.seq, 0)
            self.backend.share(placement.donor.seq, slot.seq, keep)
        elif not self.backend.forget(slot.seq, keep):
            self.backend.forget(slot.seq, 0)
            keep = 0
        following = leader_for(self._slots, job.prompt, keep) if self.backend.can_share_prefixes else None
        slot.cache, slot.pending, slot.following = list(job.prompt[:keep]), list(job.prompt[keep:]), following
        slot.job, slot.generation, slot.started_s = job, generation, self._clock()
        job.cached_tokens = keep
        job.events.put(Started(keep))

    def _join_leaders(self) -> None:
        """Followers copy what their leader has decoded by now; where it ended early they compute it themselves."""
        for slot in self._slots:
            following, job = slot.following, slot.job
            if following is None or job is None:
                continue
            common = shared_prefix(following.leader.cache, job.prompt)
            if common >= following.tokens:
                self.backend.forget(slot.seq, 0)
                self.backend.share(following.leader.seq, slot.seq, following.tokens)
                slot.cache = list(job.prompt[: following.tokens])
                slot.pending = list(job.prompt[following.tokens :])
                job.cached_tokens = following.tokens
                slot.following = None
            elif following.leader.job is not following.job:
                slot.following = None

    def _advance(self, slot: Slot, row: int) -> None:
        assert slot.generation is not None, "only busy slots are planned"
        try:
            token, reason = slot.generation.advance(row)
        except InferenceError as error:
            self._release(slot, Failed(error))
            return
        if reason is not None:
            self._finish(slot, reason)
        else:
            slot.pending = [token]

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
        slot.pending, slot.last_used = [], self._turn
        self._rate.record(self._clock() - slot.started_s)
        job.events.put(last)

    def _recover(self, outcome: int) -> None:
        """A batch failed. No room: idle caches go first. Otherwise the newest request is ended and the rest go on."""
        for slot in self._slots:  # a failed call may have left part of its tokens behind
            if slot.job is not None and not self.backend.forget(slot.seq, len(slot.cache)):
                self.backend.forget(slot.seq, 0)
                slot.pending, slot.cache = slot.cache + slot.pending, []
        idle = [slot for slot in self._slots if slot.job is None and slot.cache]
        if outcome == NO_ROOM and idle:
            self._forget_all(idle)
            return
        busy = [slot for slot in self._slots if slot.job is not None]
        newest = max(busy, key=lambda slot: slot.started_s)
        self._release(newest, Failed(GenerationFailed(f"The model could not go on (llama.cpp said {outcome}).")))
        self._forget_all([newest])

    def _forget_all(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self.backend.forget(slot.seq, 0)
            slot.cache = []

    def _retry_after_s(self) -> int:
        return self._rate.retry_after_s(len(self._queue))

    def _fail_all(self, error: InferenceError) -> None:
        with self._lock:
            self._stopped = True
            waiting = self._queue.items()
            for job in waiting:
                self._queue.remove(job)
        for job in waiting:
            job.events.put(Failed(error))
        for slot in self._slots:
            if slot.job is not None:
                self._release(slot, Failed(error))
