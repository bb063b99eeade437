"""The continuous-batching engine: a fair, bounded queue before a Decoder, and the one thread that runs it.

Each `step` ends cancelled and expired jobs, gives free slots to waiting ones and decodes one batch. Other threads call
only `submit` and `cancel`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from functions.inference.engine.backend import Backend
from functions.inference.engine.decoder import Decoder, EngineLimits
from functions.inference.engine.jobs import Failed, Finished, Job
from functions.inference.engine.queueing import FairQueue
from functions.inference.errors import (
    ContextTooLong,
    DeadlineExceeded,
    Draining,
    GenerationFailed,
    InferenceError,
    InvalidRequest,
    Overloaded,
)

IDLE_WAIT_S = 0.25


@dataclass(frozen=True)
class EngineStats:
    """The engine's load now, for health checks and metrics."""

    slots: int
    running: int
    waiting: int
    steps: int
    decoded_tokens: int
    retry_after_s: int


class Engine:
    """Takes jobs from any thread. Call `start` once, after any fork, because threads do not survive a fork."""

    def __init__(
        self,
        backend: Backend,
        limits: EngineLimits,
        clock: Callable[[], float] = time.monotonic,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._context_tokens = backend.context_tokens
        self._slots, self._queue_wait_s = limits.slots, limits.queue_wait_s
        self._clock = clock
        self._on_crash = on_crash
        self._lock = threading.Lock()
        self._queue: FairQueue[Job] = FairQueue(limits.queue_places)
        self._decoder = Decoder(backend, limits, clock)
        self._wake = threading.Event()
        self._draining = self._stopped = False
        self._thread: threading.Thread | None = None

    # ---- from any thread

    def start(self) -> None:
        """Start the decode thread."""
        self._thread = threading.Thread(target=self._run, name="llama-decode", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job:
        """Queue a job. Its `max_tokens` is reduced to the rest of the context.

        Raises ContextTooLong, Overloaded (the queue is full) or Draining.
        """
        if not job.prompt:
            raise InvalidRequest("The prompt is empty.", "prompt")
        room = self._context_tokens - len(job.prompt)
        if room < min(1, job.max_tokens):
            raise ContextTooLong(len(job.prompt), self._context_tokens)
        job.max_tokens = min(job.max_tokens, room)
        job.queued_s = self._clock()
        job.wake = self._wake.set
        with self._lock:
            if self._draining or self._stopped:
                raise Draining("The model server is shutting down; try again.")
            if not self._queue.offer(job):
                raise Overloaded("All places in the queue are taken.", self._retry_after_s())
        self._wake.set()
        return job

    def begin_drain(self) -> None:
        """Refuse new jobs from now on. Does not wait and takes no lock, so a signal handler may call it."""
        self._draining = True
        self._wake.set()

    def drain(self, wait_s: float) -> bool:
        """Refuse new jobs and wait `wait_s` seconds for the accepted ones; the rest fail. Returns whether all ended."""
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

    def close(self) -> None:
        """End the decode thread after its current call, whose memory can be freed then. Nobody waits for jobs."""
        self._stopped = True
        self._wake.set()
        if self._thread:
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the decode thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stats(self) -> EngineStats:
        """For health checks and metrics."""
        decoder = self._decoder
        running = decoder.running.total()
        waiting = len(self._queue)
        return EngineStats(self._slots, running, waiting, decoder.steps, decoder.decoded_tokens, self._retry_after_s())

    def _idle(self) -> bool:
        with self._lock:
            return not len(self._queue) and not self._decoder.running

    def _retry_after_s(self) -> int:
        return self._decoder.service_rate.retry_after_s(len(self._queue))

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
        """End, place and decode once. Returns False when there was nothing to decode."""
        self._drop_unwanted()
        self._admit()
        self._drop_overdue()
        return self._decoder.step()

    def _drop_unwanted(self) -> None:
        now = self._clock()
        with self._lock:
            waiting = self._queue.items()
        for job in waiting:
            if (last := _why_drop(job, now)) is not None:
                self._end_waiting(job, last)
        self._decoder.drop(lambda job: _why_drop(job, now))

    def _drop_overdue(self) -> None:
        """Runs after _admit, so that a job with a free slot is never refused because this thread saw it late."""
        now = self._clock()
        with self._lock:
            waiting = self._queue.items()
        for job in waiting:
            if now - job.queued_s > self._queue_wait_s and not job.low:  # a row has time
                self._end_waiting(job, Failed(Overloaded("Waited too long for a free slot.", self._retry_after_s())))

    def _end_waiting(self, job: Job, last: Failed | Finished) -> None:
        with self._lock:
            self._queue.remove(job)
        job.events.put(last)

    def _admit(self) -> None:
        """Holds the lock, so that other threads count each job either in the queue or in a slot."""
        while True:
            with self._lock:
                job = self._queue.peek(self._decoder.running, low=self._decoder.has_spare)
                if job is None or self._decoder.full:
                    return
                self._queue.remove(job)
                self._queue.served(job)
                self._decoder.occupy(job)

    def _fail_all(self, error: InferenceError) -> None:
        with self._lock:
            self._stopped = True
            waiting = self._queue.items()
            for job in waiting:
                self._queue.remove(job)
        for job in waiting:
            job.events.put(Failed(error))
        self._decoder.drop(lambda _job: Failed(error))


def _why_drop(job: Job, now: float) -> Failed | Finished | None:
    if job.cancelled:
        return Finished("cancelled", job.completion_tokens)
    if now > job.deadline_s:
        return Failed(DeadlineExceeded("The request's deadline passed before the answer was complete."))
    return None


__all__ = ["Engine", "EngineLimits", "EngineStats"]
