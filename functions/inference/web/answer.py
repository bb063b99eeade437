"""Writes a job's answer, as a stream or as one body."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job, Started
from functions.inference.errors import ContextTooLong, DeadlineExceeded, InferenceError, Overloaded, SchemaNotMet
from functions.inference.openai.responses import Counts, ResponseShape, usage_of
from functions.inference.web import sse
from functions.inference.web.disconnect import Caller
from functions.inference.web.http_errors import stream_envelope

POLL_EVERY_S = 0.1
"""How often a closed connection is looked for while no token arrives."""
PING_EVERY_S = 2.0
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
        found = [(place, sent) for sent in self._checked(place, event)]
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
        second.account, second.deadline_s, second.events = job.account, job.deadline_s, job.events
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


def stream(
    choices: Choices, caller: Caller, include_usage: bool, ping_every_s: float = PING_EVERY_S
) -> Iterator[bytes]:
    """Server-sent events: comments with counts and pings, chunks, the usage chunk, `[DONE]`; or an error event."""
    yield b""  # makes gunicorn send the status line, because the request is accepted
    wrote_s = time.monotonic()
    opened: set[int] = set()
    for found in _until_gone(choices, caller):
        if found is None:
            if time.monotonic() - wrote_s >= ping_every_s:
                wrote_s = time.monotonic()
                yield _told(choices) + sse.PING
            continue
        place, event = found
        if isinstance(event, Failed):
            yield _told(choices) + sse.event(stream_envelope(event.error))
            return
        if not isinstance(event, Delta | Finished):
            continue
        if isinstance(event, Finished) and event.reason == "cancelled":
            return
        shape = choices.shapes[place]
        if place not in opened and (opening := shape.opening()) is not None:
            yield sse.counted(opening, *choices.counts)
        opened.add(place)
        for chunk in _chunks(choices.job(place), shape, event):
            yield sse.counted(chunk, *choices.counts)
            wrote_s = time.monotonic()
    if include_usage:
        yield sse.counted(choices.shapes[0].usage_chunk(choices.counts), *choices.counts)
    yield sse.DONE


def _told(choices: Choices) -> bytes:
    """The counts of text that is held back: of no other, because its chunks told them."""
    holds = any(job.again for job in choices.jobs) and choices.counts.completion
    return sse.counts(*choices.counts) if holds else b""


def _chunks(job: Job, shape: ResponseShape, event: Delta | Finished) -> list[dict[str, Any]]:
    if isinstance(event, Delta):
        return shape.chunks(event.text, event.logprobs)
    chunks = shape.closings(event.reason)
    if job.stopped_by is not None:  # as vLLM says it; OpenAI's API does not say
        chunks[-1]["choices"][0]["stop_reason"] = job.stopped_by
    return chunks


def _until_gone(choices: Choices, caller: Caller) -> Iterator[tuple[int, Event] | None]:
    """`follow`, but a closed connection ends it with a last event instead of an exception."""
    try:
        yield from choices.follow(caller)
    except CallerGone:
        yield 0, Finished("cancelled", 0)


def whole(choices: Choices, caller: Caller) -> dict[str, Any]:
    """The complete body. Raises the engine's InferenceError, or CallerGone."""
    deltas: list[list[Delta]] = [[] for _ in choices.jobs]
    bodies: dict[int, dict[str, Any]] = {}
    for found in choices.follow(caller):
        match found:
            case place, Delta() as delta:
                deltas[place].append(delta)
            case _, Failed(error):
                raise error
            case _, Finished("cancelled"):
                raise CallerGone
            case place, Finished(reason):
                text = "".join(delta.text for delta in deltas[place])
                logprobs = tuple(entry for delta in deltas[place] for entry in delta.logprobs)
                bodies[place] = choices.shapes[place].whole(text, logprobs, reason)
    all_choices = [choice for place in sorted(bodies) for choice in bodies[place]["choices"]]
    return bodies[0] | {"choices": all_choices, "usage": usage_of(choices.counts)}
