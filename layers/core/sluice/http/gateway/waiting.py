"""Answers of requests that ask a model, and that may wait for their turn first (`Prefer: wait=N`, ADR 114).

whole   ─ refused ─ wait ─ admitted ─ answer, or the refusal, with its true status
stream  ─ refused ─ 200, `: queue 3 of 9, about 12 s` … ─ admitted ─ events, or an error event
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from flask import Response, g

from sluice.domain import errors
from sluice.domain.tokens import Claims
from sluice.http import prefer
from sluice.http.errors import InternalError
from sluice.http.gateway.context import admitting
from sluice.http.gateway.streaming import (
    COMMENT,
    COMMENT_AFTER_SECONDS,
    FIRST_EVENT_SECONDS,
    Begun,
    Body,
    event_stream,
    streamed_answer,
    whole_answer,
)
from sluice.http.here import asked as request
from sluice.http.here import notes
from sluice.services.gateway.exchange import ClientGone
from sluice.services.gateway.places import Place
from sluice.services.gateway.queue import Ask, Queue, Waiter, in_turn
from sluice.services.gateway.request import ModelRequest, RequestContext
from sluice.wiring.gateway import gateway

log = logging.getLogger("sluice.waiting")

PLACE, SECONDS = "x-sluice-queue-place", "x-sluice-queue-seconds"
Begin = Callable[[RequestContext], Begun]
Result = TypeVar("Result")
Step = TypeVar("Step")


class _Turn(NamedTuple):
    """A request that may wait, with all that the wait needs once the HTTP request is out of reach."""

    queue: Queue
    waiter: Waiter
    claims: Claims
    context: RequestContext
    place: Place
    seconds: int

    def steps(
        self, begin: Callable[[RequestContext], Step], finish: Callable[[Step], Iterator[Result | None]]
    ) -> Iterator[Result | None]:
        """Errors: as `Gateway.check_caller`."""
        if self.queue.others_wait(self.waiter):  # so it does not ask yet, but a revoked API token is refused at once
            gateway().check_caller(self.claims)

        def begins() -> Step:
            self.place.take()
            return begin(self.context)

        def check() -> None:
            self.place.leave()
            if self.context.gone():
                raise ClientGone()
            gateway().check_waiting(self.claims)

        return in_turn(self.queue, self.waiter, Ask(begins, finish, check))

    def leave(self) -> None:
        self.queue.leave(self.waiter)


def _turn(asked: ModelRequest, context: RequestContext) -> _Turn | None:
    """None if the request must not wait, or does not want to."""
    queue, header = gateway().queue, request().environ.get("HTTP_PREFER")
    seconds = prefer.wait_seconds(header) if header and queue is not None else 0
    if not seconds or queue is None:
        return None
    waiter = queue.waiter(asked.claims.account_id, str(asked.model["id"]), seconds)
    turn = _Turn(queue, waiter, asked.claims, replace(context, waiter=waiter), g.v1_place, seconds)
    g.turn = turn
    return turn


def tell(response: Response) -> None:
    """What became of the wish to wait."""
    said = notes()
    if seconds := said.get("patience"):  # it waited for the first request with its key
        response.headers[prefer.APPLIED] = f"wait={seconds}"
    turn: _Turn | None = said.get("turn")
    if turn is None or (turn.waiter.first is None and response.status_code >= 400):
        return
    response.headers[prefer.APPLIED] = f"wait={turn.seconds}"
    if (first := turn.waiter.first) is not None:
        response.headers[PLACE], response.headers[SECONDS] = str(first.place), str(first.seconds)


def fetched(asked: ModelRequest, form: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, Any]:
    """As `Gateway.fetch`."""
    return _waited(asked, lambda context: gateway().fetch(asked, context, form), lambda answer: iter([answer]))


def whole(asked: ModelRequest, begin: Begin, refused: object) -> Response:
    """Errors: of `begin`, and as `Exchange.events`; the exchange is settled in any case."""

    def finish(begun: Begun) -> Iterator[Response | None]:
        yield whole_answer(*begun)

    return _waited(asked, begin, finish)


def _waited(
    asked: ModelRequest, begin: Callable[[RequestContext], Step], finish: Callable[[Step], Iterator[Result | None]]
) -> Result:
    """Begin and finish in this thread, when it is the request's turn."""
    context = admitting(asked.claims)
    turn = _turn(asked, context)
    steps = turn.steps(begin, finish) if turn else finish(begin(context))
    try:
        return next(result for result in steps if result is not None)
    finally:
        if turn is not None:
            turn.leave()


def streamed(asked: ModelRequest, begin: Begin, refused: Callable[[errors.SluiceError], bytes]) -> Response:
    """Errors before the first event, or before it is known that the request must wait: as `whole`."""
    context = admitting(asked.claims)
    turn = _turn(asked, context)
    if turn is None:
        return streamed_answer(*begin(context))
    waits = _WaitingBody(turn, turn.steps(begin, _beginning), refused)
    try:
        return event_stream(waits.begin())
    except BaseException:
        waits.close()
        raise


def _beginning(begun: Begun) -> Iterator[Body | None]:
    body = Body(*begun)
    try:
        yield from body.beginning()
    except GeneratorExit:
        body.close()
        raise
    yield body


class _WaitingBody:
    """The bytes of a stream whose caller learns its place before its answer."""

    def __init__(
        self, turn: _Turn, steps: Iterator[Body | None], refused: Callable[[errors.SluiceError], bytes]
    ) -> None:
        self._turn, self._steps, self._refused = turn, steps, refused
        self._body: Body | None = None
        self._blocks = self._run()

    def begin(self) -> "Body | _WaitingBody":
        """The answer, if it has begun; this, if its status must be sent first. Errors: as `in_turn`."""
        give_up = time.monotonic() + FIRST_EVENT_SECONDS
        for body in self._steps:
            if body is not None:
                return body
            if self._turn.waiter.first is not None or time.monotonic() > give_up:
                break
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        """The server calls this when the answer has ended, and when the caller's connection broke."""
        self._steps.close()  # type: ignore[attr-defined]
        self._turn.leave()
        if self._body is not None:
            self._body.close()

    def _run(self) -> Iterator[bytes]:
        said, sent = b"", time.monotonic()
        try:
            while self._body is None:
                comment = self._comment()
                if comment not in (said, COMMENT) or time.monotonic() - sent >= COMMENT_AFTER_SECONDS:
                    said, sent = comment, time.monotonic()
                    yield comment
                self._body = next(self._steps)
        except ClientGone:
            return
        except Exception as cause:
            yield self._refused(self._error(cause))
            return
        yield from self._body

    def _comment(self) -> bytes:
        place = self._turn.queue.place(self._turn.waiter)
        if place is None:  # it is admitted
            return COMMENT
        return f": queue {place.place} of {place.waiting}, about {place.seconds} s\n".encode()

    def _error(self, cause: Exception) -> errors.SluiceError:
        if isinstance(cause, errors.SluiceError):
            return cause
        log.error("a waiting stream failed", exc_info=cause, extra={"request_id": self._turn.context.request_id})
        return InternalError()
