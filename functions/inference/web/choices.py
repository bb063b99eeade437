"""The jobs of one answer: begun, followed and checked."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job, Started
from functions.inference.errors import ContextTooLong, DeadlineExceeded, InferenceError, Overloaded, SchemaNotMet
from functions.inference.openai.responses import Counts, ResponseShape
from functions.inference.web.disconnect import Caller

POLL_EVERY_S = 0.1
"""How often a closed connection is looked for while no token arrives."""
ABREAST = 4
"""How many choices of one answer run at once."""


class CallerGone(Exception):
    """The caller closed its connection."""


class _Numbered(queue.SimpleQueue[Event]):
    """Puts a job's events into a queue that its whole answer shares, with the job's place in the answer."""

    def __init__(self, place: int, shared: "queue.SimpleQueue[tuple[int, Event]]") -> None:
        self._place, self._shared = place, shared

    def put(self, item: Event, block: bool = True, timeout: float | None = None) -> None:
        self._shared.put((self._place, item))


class Choices:
    """The jobs of one answer, one a choice, and the shape that writes each. At most ABREAST run at once, so that a
    long list of prompts does not fill the queue. The answer fails where the queue is full at its start; later its other
    jobs wait for a place until their deadline, so that no work is lost.

    An answer whose schema no grammar enforces wholly is checked at its end. If the job can be made `again`, its text is
    held back until then, and a faulty answer is made a second time; the tokens of both count.

    `each`: choices a prompt. `submit` raises an InferenceError.
    """

    def __init__(
        self, jobs: Sequence[Job], shapes: Sequence[ResponseShape], each: int, submit: Callable[[Job], object]
    ) -> None:
        self.jobs, self.shapes = jobs, shapes
        self._each, self._submit = each, submit
        self._events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._waiting = deque(range(len(jobs)))
        self._begun: set[int] = set()
        self._ended = 0
        self._worked = False
        self._completion_tokens = [0] * len(jobs)
        self._second: dict[int, Job] = {}
        self._faulty_tokens = 0
        self._texts: list[list[Delta]] = [[] for _ in jobs]
        for place, job in enumerate(jobs):
            job.events = _Numbered(place, self._events)
        try:
            self._begin_some()
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """End every choice. No effect after the end; safe from any thread."""
        for job in (*self.jobs, *self._second.values()):
            job.cancel()

    def job(self, place: int) -> Job:
        """The one that makes the answer, which may be its second."""
        return self._second.get(place, self.jobs[place])

    @property
    def counts(self) -> Counts:
        """The tokens so far."""
        begun = [self.jobs[place] for place in range(0, len(self.jobs), self._each) if place in self._begun]
        prompts = [*begun, *self._second.values()]
        return Counts(
            sum(len(job.prompt) for job in prompts),
            sum(self._completion_tokens) + self._faulty_tokens,
            sum(job.cached_tokens for job in prompts),
        )

    def follow(self, caller: Caller) -> Iterator[tuple[int, Event] | None]:
        """Events with the place of their job, up to the last of all, and None after each POLL_EVERY_S without one.
        Cancels the jobs at the end.

        Raises CallerGone.
        """
        try:
            while self._ended < len(self.jobs):
                found = self._next()
                if caller.gone():
                    raise CallerGone
                if not found:
                    yield None
                yield from found
        finally:
            self.cancel()  # also when the response's generator is closed; no effect after the end
            for job in map(self.jobs.__getitem__, self._begun):
                if job.watch is not None:  # no effect after the end
                    job.watch(Finished("cancelled", job.completion_tokens))

    def _next(self) -> list[tuple[int, Event]]:
        """Empty for a silence, or for text that is held back."""
        try:
            place, event = self._events.get(timeout=POLL_EVERY_S)
        except queue.Empty:
            return self._go_on([])
        if (
            isinstance(event, Failed)
            and isinstance(event.error, Overloaded)
            and self._worked
            and place not in self._second
        ):
            self._begun.discard(place)
            self._waiting.appendleft(place)
            return self._go_on([])
        if (watch := self.jobs[place].watch) is not None:
            watch(event)
        if isinstance(event, Delta | Finished):
            self._completion_tokens[place] = event.completion_tokens
            self._worked = True
        events: list[Event] = [event]
        if isinstance(event, Started) and self.job(place).begun:
            events.append(Delta(self.job(place).begun, 0))
        found = [(place, sent) for one in events for sent in self._checked(place, one)]
        if found and isinstance(found[-1][1], Finished | Failed):
            self._ended += 1
        return self._go_on(found)

    def _go_on(self, found: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
        """Begin jobs in the places that are free. → `found`, or the failure of the answer."""
        last = found[-1][1] if found else None
        if not self._waiting or (last and not (isinstance(last, Finished) and last.reason != "cancelled")):
            return found
        place = self._waiting[0]
        if time.monotonic() > self.jobs[place].deadline_s:
            error = DeadlineExceeded("The request's deadline passed before the answer was complete.")
            return [(place, Failed(error))]
        try:
            self._begin_some()
        except Overloaded:
            pass
        except InferenceError as error:
            return [(place, Failed(error))]
        return found

    def _checked(self, place: int, event: Event) -> list[Event]:
        """What to send for an event: nothing while text is held back, all of it at the end."""
        job = self.job(place)
        check = job.sampling.matcher.check if job.sampling.matcher else None
        if check is None or isinstance(event, Started | Failed):
            return [event]
        holds, held = job.again is not None or place in self._second, self._texts[place]
        if isinstance(event, Delta):
            held.append(event)
            return [] if holds else [event]
        fault = None
        if event.reason == "stop" and job.stopped_by is None:
            fault = check.fault("".join(delta.text for delta in held))
        if fault is None:
            return [*held, event] if holds else [event]
        return self._again(place, job, fault)

    def _again(self, place: int, job: Job, fault: str) -> list[Event]:
        if job.again is None:
            return [Failed(SchemaNotMet(fault, self.counts.prompt + self.counts.completion))]
        second = job.again(fault)
        second.account, second.low, second.deadline_s = job.account, job.low, job.deadline_s
        second.events = job.events
        try:
            self._submit(second)
        except ContextTooLong:
            return [Failed(SchemaNotMet(fault, self.counts.prompt + self.counts.completion))]
        except InferenceError as error:
            return [Failed(error)]
        self._faulty_tokens += self._completion_tokens[place]
        self._completion_tokens[place], self._second[place], self._texts[place] = 0, second, []
        return []

    def _begin_some(self) -> None:
        while self._waiting and len(self._begun) - self._ended < ABREAST:
            place = self._waiting[0]
            self._submit(self.jobs[place])
            self._begun.add(self._waiting.popleft())
