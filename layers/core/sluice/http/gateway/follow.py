"""The events of a background response, as its worker stores them, from any of them on.

Blocks of events have the sequence number of their first as their key, so the next one's is known, and no list is read
but where a stream is resumed. Each attempt numbers its events from a million of its own.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request

from sluice.domain import errors
from sluice.domain.gateway.response_replay import ending, replay
from sluice.domain.runs import EVENTS_AN_ATTEMPT, Run, as_it_stands
from sluice.http.gateway.connection import watch
from sluice.http.gateway.named_events import encode
from sluice.http.gateway.streaming import COMMENT, COMMENT_AFTER_SECONDS, DONE, OpenAIDialect, event_stream
from sluice.http.lambda_deadline import seconds_left
from sluice.wiring.gateway import gateway, stored_responses
from sluice.wiring.runs import runs

LOOK_SECONDS = 0.1  # between two looks for the next block
ROW_SECONDS = 1.0  # between two reads of the run's row
NUMBER = re.compile(rb'"sequence_number":(\d+)')  # of an event: its second field
LAST = re.compile(rb"event: response\.(completed|incomplete|failed)\n")


def replayed(response: dict[str, Any], after: int) -> Response:
    """Of a response without a run."""
    return Response(_replay(response, after) + DONE, 200, mimetype="text/event-stream")


def _replay(response: dict[str, Any], after: int) -> bytes:
    return encode(event for event in replay(response) if event["sequence_number"] > after)


def followed(run: Run, response: dict[str, Any], after: int = -1) -> Response:
    return event_stream(_Following(run, response, after, watch(request.environ)))


class _Following:
    def __init__(self, run: Run, response: dict[str, Any], after: int, gone: Callable[[], bool]) -> None:
        self._run, self._response, self._after, self._gone = run, response, after, gone
        self._attempt, self._at = -1, 0
        self._sent = self._ended = False
        self._ends = time.monotonic() + seconds_left()  # then the caller resumes it
        self._blocks = self._follow()

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self._blocks.close()  # type: ignore[attr-defined]

    def _follow(self) -> Iterator[bytes]:
        said = time.monotonic()
        yield COMMENT  # so that the caller has its headers
        try:
            while not self._gone() and time.monotonic() < self._ends:
                is_over = not self._run.is_live or self._run.is_lost(gateway().now_ms())
                for block in self._ready():
                    said = time.monotonic()
                    yield block
                if self._ended or is_over:
                    yield (b"" if self._ended else self._missing()) + DONE
                    return
                if time.monotonic() - said >= COMMENT_AFTER_SECONDS:
                    said = time.monotonic()
                    yield COMMENT
                self._wait()
        except errors.SluiceError as error:
            yield OpenAIDialect().failed(error)

    def _wait(self) -> None:
        """For the next block, or until it is time to read the row again."""
        until = time.monotonic() + ROW_SECONDS
        while time.monotonic() < until and not self._gone():
            time.sleep(LOOK_SECONDS)
            if self._attempt >= 0 and runs().events.get(self._run, self._at) is not None:
                return
        self._run = runs().rows.get(self._run.account_id, self._run.run_id) or self._run

    def _ready(self) -> Iterator[bytes]:
        """The events that are there and not yet sent."""
        if not self._run.keeps_events:
            return
        if self._attempt != self._run.deaths:
            self._attempt, self._at = self._run.deaths, self._first_block()
        while (block := runs().events.get(self._run, self._at)) is not None:
            events = [event + b"\n\n" for event in block.split(b"\n\n") if event]
            numbers = [int(found[1]) if (found := NUMBER.search(event)) else None for event in events]
            self._at = max(number for number in numbers if number is not None) + 1
            self._ended = LAST.search(block) is not None
            wanted = b"".join(
                event
                for event, number in zip(events, numbers, strict=True)
                if (self._at - 1 if number is None else number) > self._after
            )
            self._sent = True
            if wanted:
                yield wanted

    def _first_block(self) -> int:
        """Where to begin: with the block that has the first event the caller lacks."""
        first = self._run.first_event
        if self._after < first or self._after >= first + EVENTS_AN_ATTEMPT:
            return first
        known = runs().events.firsts(self._run)
        return max((block for block in known if first <= block <= self._after + 1), default=first)

    def _missing(self) -> bytes:
        """What no block has: the end of a response that was cancelled or lost, or all of one that keeps no events."""
        run, now_ms = self._run, gateway().now_ms()
        stored = stored_responses().get(run.account_id, run.response_id, now_ms)
        response = as_it_stands(stored.response, run, now_ms)
        if self._sent or self._after >= 0:
            return encode([ending(response, max(self._at, self._after + 1))])
        return _replay(response, self._after)
