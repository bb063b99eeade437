"""The events of a background response, as its worker stores them, from any of them on.

Blocks of events have the sequence number of their first as their key, so the next one's is known, and no list is read
but where a stream is resumed. Each attempt numbers its events from a million of its own.
"""

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from flask import Response, request

from sluice.domain import errors
from sluice.domain.gateway.response_replay import ending, replay
from sluice.domain.runs import EVENTS_AN_ATTEMPT, Run, as_it_stands
from sluice.domain.tokens import Claims
from sluice.http.gateway.connection import watch
from sluice.http.gateway.named_events import encode
from sluice.http.gateway.streaming import COMMENT, COMMENT_AFTER_SECONDS, DONE, OpenAIDialect, event_stream
from sluice.http.lambda_deadline import seconds_left
from sluice.services.gateway.stored_responses import StoredResponse
from sluice.wiring.gateway import gateway, stored_responses
from sluice.wiring.runs import runs

LOOK_SECONDS = 0.1  # between two looks for the next block
ROW_SECONDS = 1.0  # between two reads of the run's row
CHECK_SECONDS = 3.0  # between two looks whether the follower's API token is live, as in any stream
MOST_FOLLOWERS = 100  # streams of an account's background responses at once
TOO_MANY = f"This account follows {MOST_FOLLOWERS} background responses already. Close some of the streams."
NUMBER = re.compile(rb'"sequence_number":(\d+)')  # of an event: its second field
LAST = re.compile(rb"event: response\.(completed|incomplete|failed)\n")


def replayed(stored: StoredResponse, after: int) -> Response:
    """Of a response without a run."""
    events = _replay(stored, after)
    return Response(events + _done(events), 200, mimetype="text/event-stream")


def _done(last_events: bytes) -> bytes:
    """What comes after them: a stream that failed ends without `[DONE]`, here as everywhere."""
    last = LAST.search(last_events)
    return b"" if last is not None and last[1] == b"failed" else DONE


def _replay(stored: StoredResponse, after: int) -> bytes:
    events = replay(stored.response, stored.pieces)
    return encode(event for event in events if event["sequence_number"] > after)


def followed(
    claims: Claims, run: Run, response: dict[str, Any], after: int = -1, *, submitting: bool = False
) -> Response:
    """Errors: TooManyConcurrentRequests. `submitting`: the run is new, and the account's live runs are the bound."""
    _followers.enter(claims.account_id, math.inf if submitting else MOST_FOLLOWERS)
    return event_stream(_Following(claims, run, response, after, watch(request.environ)))


class _Followers:
    """How many of these streams each account has in this process, where each holds one of the places of /v1."""

    def __init__(self) -> None:
        self._lock, self._counts = threading.Lock(), Counter[str]()

    def enter(self, account_id: str, most: float) -> None:
        with self._lock:
            if self._counts[account_id] >= most:
                raise errors.TooManyConcurrentRequests(TOO_MANY)
            self._counts[account_id] += 1

    def leave(self, account_id: str) -> None:
        with self._lock:
            self._counts[account_id] -= 1
            self._counts += Counter()  # forgets who has none


_followers = _Followers()


class _Following:
    def __init__(
        self, claims: Claims, run: Run, response: dict[str, Any], after: int, gone: Callable[[], bool]
    ) -> None:
        self._claims, self._checked = claims, time.monotonic()
        self._run, self._response, self._after, self._gone = run, response, after, gone
        self._attempt, self._at = -1, 0
        self._sent = self._closed = False
        self._ended = b""  # the block with the last event, once it was sent
        self._ends = time.monotonic() + seconds_left()  # then the caller resumes it
        self._blocks = self._follow()

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        """The server calls this when the stream has ended, and when the caller's connection broke."""
        self._blocks.close()  # type: ignore[attr-defined]
        if not self._closed:
            self._closed = True
            _followers.leave(self._run.account_id)

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
                    missing = b"" if self._ended else self._missing()
                    yield missing + _done(self._ended or missing)
                    return
                if time.monotonic() - said >= COMMENT_AFTER_SECONDS:
                    said = time.monotonic()
                    yield COMMENT
                self._wait()
        except errors.SluiceError as error:
            yield OpenAIDialect().failed(error)

    def _wait(self) -> None:
        """For the next block, or until it is time to read the row again. Errors: as `Gateway.check_caller`."""
        if time.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = time.monotonic()
            gateway().check_caller(self._claims)
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
            self._ended = block if LAST.search(block) else b""
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
        return _replay(replace(stored, response=response), self._after)
