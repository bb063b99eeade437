"""Asks the servers of a model in the owner's order, until one has begun its answer.

The next one is asked where a server is away, overloaded or silent for too long, where its circuit is open, and where
its day would cost more than its owner allows; never after an event of the answer has come. A server that refuses the
request itself (400) is not followed by another. The caller gets the error of the last server asked.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sluice.domain import errors
from sluice.domain.gateway import chunks, estimates
from sluice.domain.gateway.rerank import tokens_read
from sluice.domain.usage.pricing import Prices, bound_micro_usd, cost_micro_usd
from sluice.ports.gateway import Asked, RunAnswer, Spend, Upstream, UpstreamCall, UpstreamStream
from sluice.services.gateway.exchange import engine_error, give_back
from sluice.services.gateway.routes import Routes, Server, Step

log = logging.getLogger("sluice.upstream")

NEXT_ONE = (errors.Unavailable, errors.UpstreamTimeout, errors.ModelNotFound)  # errors after which another is asked
FAILURES = (errors.ModelUnavailable, errors.UpstreamTimeout)  # those that open a circuit: being busy is none
MAY_CHARGE = (errors.UpstreamTimeout, errors.AnswerLost)  # errors of a server that may have worked all the same
TOO_COSTLY = "The model has cost what its owner lets it cost in a day."
DAY_MS = 86_400_000
LEAST_SECONDS = 0.1
FIRST_EVENT_SECONDS = 60.0  # after which a server that only says that it lives is left for the next one
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Routed:
    """A `sluice.ports.gateway.Upstream` in front of all others. `clock_ms`: Unix time."""

    routes: Callable[[], Routes]
    spend: Spend | None
    clock_ms: Callable[[], int]

    def open(self, call: UpstreamCall) -> UpstreamStream:
        tries = _Tries(self, call)
        stream = tries.next(lambda upstream, one: upstream.open(one))
        return _Begun(tries, stream)

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        tries = _Tries(self, call)
        answer = tries.next(lambda upstream, one: upstream.fetch(one))
        tries.worked()
        if call.most is None:
            tries.settle(answer)
        return answer

    def run(self, call: UpstreamCall) -> RunAnswer:
        """Errors: also what `call.waiting` raises."""
        tries = _Tries(self, call)
        answer = tries.next(lambda upstream, one: upstream.run(one))
        tries.worked()
        return answer

    def count(self, call: UpstreamCall) -> int:
        """No text leaves home to be counted. A server that cannot count, or is elsewhere, answers by its bytes."""
        problem: errors.SluiceError | None = None
        give_up = time.monotonic() + call.deadline_seconds
        for step in self.steps(call):
            server, exact = step.server, None
            if not server.terms.leaves_home:
                if server.circuit.seconds_left():
                    continue
                left = max(LEAST_SECONDS, give_up - time.monotonic())
                try:
                    exact = server.upstream.count(replace(_for_server(call, step), deadline_seconds=left))
                except NEXT_ONE as exc:
                    problem = exc
                    if isinstance(exc, FAILURES):
                        server.circuit.failed()
                    continue
            return estimates.prompt_tokens(call.body, server.terms.bytes_a_token) if exact is None else exact
        raise problem or errors.ModelUnavailable()

    def models(self) -> list[dict[str, Any]]:
        return self.routes().all()

    def steps(self, call: UpstreamCall) -> Sequence[Step]:
        """Errors: as `Routes.steps`."""
        return self.routes().steps(str(call.body["model"]), local_only=call.local_only)


class _Tries:
    """The servers that one request may still ask."""

    def __init__(self, routed: Routed, call: UpstreamCall) -> None:
        self._routed, self._call = routed, call
        self._left = list(routed.steps(call))
        self._has_choice = len(self._left) > 1
        self._give_up = time.monotonic() + call.deadline_seconds
        self._server: Server | None = None  # that is asked just now
        self._asked: Asked | None = None
        self._problem: errors.SluiceError | None = None

    def next(self, ask: Callable[[Upstream, UpstreamCall], Answer]) -> Answer:
        """The answer of the first that begins one. Errors: that of the last one asked."""
        while self._left:
            step = self._left.pop(0)
            if self._has_choice and not step.server.circuit.lets_through():
                self._skipped(step.server.circuit.seconds_left())
                continue
            if not self._reserve(step):
                continue
            call = _for_server(self._call, step)
            if self._problem is not None:  # others took some of the time
                call = replace(call, deadline_seconds=self._seconds())
            try:
                return ask(step.server.upstream, call)
            except NEXT_ONE as exc:
                self.failed(exc)
            except errors.SluiceError:
                self.refused()
                raise
        raise self._problem or errors.ModelUnavailable()

    @property
    def others_left(self) -> bool:
        return bool(self._left)

    def failed(self, problem: errors.SluiceError) -> None:
        """The server that was asked has not begun an answer."""
        assert self._server is not None
        if isinstance(problem, errors.ModelNotFound) and self._has_choice:  # the owner's name for it leads nowhere
            problem = errors.ModelUnavailable()
        self._problem = problem
        if not isinstance(problem, MAY_CHARGE):
            self._give_back()
        self.broke(problem)
        if self._left:
            log.info("%s does not answer, asking the next: %s", self._server.terms.name, type(problem).__name__)

    def refused(self) -> None:
        """The server works, and refuses what it was asked."""
        self.worked()
        self._give_back()

    def broke(self, problem: errors.SluiceError) -> None:
        if self._server is not None and isinstance(problem, FAILURES):
            self._server.circuit.failed()

    def began(self) -> None:
        if self._server is not None:
            self._server.circuit.began()

    def worked(self) -> None:
        if self._server is not None:
            self._server.circuit.worked()

    def _seconds(self) -> float:
        return max(LEAST_SECONDS, self._give_up - time.monotonic())

    def _skipped(self, seconds: float) -> None:
        if self._problem is None:
            self._problem = errors.ModelUnavailable(retry_after_seconds=max(1, round(seconds)))

    def _reserve(self, step: Step) -> bool:
        """Whether the server's day has room for the request; tells the caller that it is asked."""
        terms = step.server.terms
        self._server, self._asked, reserved, prices = step.server, None, None, terms.prices
        if terms.daily_micro_usd is not None and self._routed.spend is not None:
            now_ms, prices = self._routed.clock_ms(), prices or self._call.prices or self._of_model()
            most = bound_micro_usd(prices, *_most(self._call))
            try:
                reserved = self._routed.spend.reserve(terms.name, terms.daily_micro_usd, most, now_ms)
            except errors.StoreUnavailable as exc:
                self._problem = exc
                return False
            if reserved is None:
                self._problem = errors.ModelUnavailable(TOO_COSTLY, -(-(DAY_MS - now_ms % DAY_MS) // 1000))
                return False
        self._asked = Asked(terms.name, prices, reserved)
        try:
            self._call.asked(self._asked)
        except errors.SluiceError:  # the caller may go on no longer
            self._give_back()
            raise
        return True

    def _of_model(self) -> Prices | None:
        """What callers pay, for a call that does not say it."""
        return self._routed.routes().terms.prices.get(str(self._call.body["model"]))

    def settle(self, answer: Mapping[str, Any]) -> None:
        """Of a call that no exchange settles: gives back what the answer, by its server's own count, has not cost."""
        if self._asked is not None and self._asked.reserved is not None and (read := tokens_read(answer)) is not None:
            self._give_back(cost_micro_usd(self._asked.prices, read, 0) or 0)

    def _give_back(self, cost: int = 0) -> None:
        """What is reserved, but for a cost."""
        asked, self._asked = self._asked, None
        if asked is None or asked.reserved is None or self._routed.spend is None:
            return
        try:
            self._call.asked(Asked(asked.upstream))  # so that it is not given back twice
        finally:
            give_back(self._routed.spend, asked.reserved, cost)


def _most(call: UpstreamCall) -> tuple[int, int]:
    """Upper bounds of prompt and completion tokens, whatever the server's tokens are: each stands for a byte at least.
    What was admitted may be a count by another server's, or an estimate."""
    if call.most is None:
        return len(json.dumps(call.body, ensure_ascii=False).encode(errors="replace")), 0
    prompt_tokens, completion_tokens = call.most
    by_bytes = estimates.prompt_tokens(call.body, 1) if prompt_tokens else 0
    return max(prompt_tokens, by_bytes), completion_tokens


def _for_server(call: UpstreamCall, step: Step) -> UpstreamCall:
    """The call with the server's own name of the model. The answer bears ours, whatever a server elsewhere says."""
    ours = str(call.body["model"])
    if step.model == ours:
        return replace(call, named=ours) if step.server.is_foreign else call
    return replace(call, body={**call.body, "model": step.model}, named=ours)


def _of_stream(name: str) -> Any:
    """What the stream of the server that answers has under this name."""
    return property(lambda self: getattr(self._stream, name), lambda self, value: setattr(self._stream, name, value))


class _Begun:
    """`sluice.ports.gateway.UpstreamStream` of the server that is asked; until its first event, also of the next."""

    prompt_tokens: int = _of_stream("prompt_tokens")
    completion_tokens: int = _of_stream("completion_tokens")
    cached_tokens: int = _of_stream("cached_tokens")
    estimated: bool = _of_stream("estimated")

    def __init__(self, tries: _Tries, stream: UpstreamStream) -> None:
        self._tries, self._stream = tries, stream

    def __iter__(self) -> Iterator[bytes]:
        for payload in self._first():
            yield payload
            if payload:
                break
        try:
            yield from self._rest
        except NEXT_ONE as exc:
            self._tries.broke(exc)
            raise
        self._tries.worked()

    def _first(self) -> Iterator[bytes]:
        """Pings and the first event, of whichever server sends one. The rest is `_rest`."""
        while True:
            self._rest, give_up = iter(self._stream), time.monotonic() + FIRST_EVENT_SECONDS
            try:
                for payload in self._rest:
                    if payload:
                        self._first_event(payload)
                    elif self._tries.others_left and time.monotonic() > give_up:
                        raise errors.UpstreamTimeout()
                    yield payload
                raise errors.AnswerLost("The model ended without an answer.")
            except NEXT_ONE as exc:
                self._stream.close()
                self._tries.failed(exc)
                self._stream = self._tries.next(lambda upstream, one: upstream.open(one))
            except errors.SluiceError:
                self._tries.refused()
                raise

    def _first_event(self, payload: bytes) -> None:
        """Errors: those after which another is asked."""
        if not chunks.is_error(payload):
            return self._tries.began()
        problem = engine_error(payload)
        if isinstance(problem, NEXT_ONE):
            raise problem
        if isinstance(problem, errors.SchemaNotMet):  # which only an answer can break
            return self._tries.worked()
        return self._tries.refused()

    def close(self) -> None:
        self._stream.close()
