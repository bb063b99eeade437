"""Writes the events of an answer's jobs, as a stream or as one body."""

import time
from collections.abc import Iterator
from typing import Any

from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job
from functions.inference.openai.responses import ResponseShape, usage_of
from functions.inference.web import sse
from functions.inference.web.choices import CallerGone, Choices
from functions.inference.web.disconnect import Caller
from functions.inference.web.http_errors import stream_envelope

PING_EVERY_S = 2.0


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
