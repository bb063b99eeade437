"""Writes a job's answer, as a stream or as one body."""

import time
from collections.abc import Iterator
from typing import Any

from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job, TokenLogprob
from functions.inference.errors import InferenceError
from functions.inference.openai.responses import ResponseShape
from functions.inference.web import sse
from functions.inference.web.disconnect import Caller
from functions.inference.web.http_errors import stream_envelope

POLL_EVERY_S = 0.1
"""How often a closed connection is looked for while no token arrives."""
PING_EVERY_S = 2.0


class CallerGone(Exception):
    """The caller closed its connection."""


def follow(job: Job, caller: Caller) -> Iterator[Event | None]:
    """The job's events up to the last, and None after each POLL_EVERY_S without one. Cancels the job at the end.

    Raises CallerGone.
    """
    try:
        while True:
            event = job.next_event(POLL_EVERY_S)
            if caller.gone():
                raise CallerGone
            if event is not None and job.watch is not None:
                job.watch(event)
            yield event
            if isinstance(event, Finished | Failed):
                return
    finally:
        job.cancel()  # also when the response's generator is closed; no effect after the end
        if job.watch is not None:  # no effect after the end
            job.watch(Finished("cancelled", job.completion_tokens))


def stream(
    job: Job, caller: Caller, shape: ResponseShape, include_usage: bool, ping_every_s: float = PING_EVERY_S
) -> Iterator[bytes]:
    """Server-sent events: comments with counts and pings, chunks, the usage chunk, `[DONE]`; or an error event."""
    yield b""  # makes gunicorn send the status line, because the request is accepted
    wrote_s = time.monotonic()
    opened = False
    for event in _until_gone(job, caller):
        if event is None:
            if time.monotonic() - wrote_s >= ping_every_s:
                wrote_s = time.monotonic()
                yield sse.PING
            continue
        if isinstance(event, Failed):
            yield sse.event(stream_envelope(event.error))
            return
        if not isinstance(event, Delta | Finished):
            continue
        if isinstance(event, Finished) and event.reason == "cancelled":
            return
        if not opened and (opening := shape.opening()) is not None:
            yield sse.counted(opening, len(job.prompt), event.completion_tokens, job.cached_tokens)
        opened = True
        for chunk in _chunks(job, shape, event):
            yield sse.counted(chunk, len(job.prompt), event.completion_tokens, job.cached_tokens)
            wrote_s = time.monotonic()
    if include_usage:
        yield sse.counted(shape.usage_chunk(job), len(job.prompt), job.completion_tokens, job.cached_tokens)
    yield sse.DONE


def _chunks(job: Job, shape: ResponseShape, event: Delta | Finished) -> list[dict[str, Any]]:
    if isinstance(event, Delta):
        return shape.chunks(event.text, event.logprobs)
    chunks = shape.closings(event.reason)
    if job.stopped_by is not None:  # as vLLM says it; OpenAI's API does not say
        chunks[-1]["choices"][0]["stop_reason"] = job.stopped_by
    return chunks


def _until_gone(job: Job, caller: Caller) -> Iterator[Event | None]:
    """`follow`, but a closed connection ends it with a last event instead of an exception."""
    try:
        yield from follow(job, caller)
    except CallerGone:
        yield Finished("cancelled", job.completion_tokens)


def whole(job: Job, caller: Caller, shape: ResponseShape) -> dict[str, Any]:
    """The complete body. Raises the engine's InferenceError, or CallerGone."""
    texts: list[str] = []
    logprobs: list[TokenLogprob] = []
    for event in follow(job, caller):
        if isinstance(event, Delta):
            texts.append(event.text)
            logprobs += event.logprobs
        elif isinstance(event, Failed):
            raise event.error
        elif isinstance(event, Finished):
            if event.reason == "cancelled":
                raise CallerGone
            return shape.whole("".join(texts), tuple(logprobs), event.reason, job)
    raise InferenceError("The answer ended without an end.")  # follow() always gives a last event
