"""An exchange as an HTTP answer: server-sent events or one JSON object. It is settled before the last byte is sent.

    engine ── chunk ── chunk ── finish chunk ── usage chunk ── [DONE]
    caller ── chunk ── chunk ──── (held) ─────── (held) ──── settle ── finish, usage, [DONE]

All work is done before the end of the answer, because Lambda may freeze the process after it.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, Protocol

import pydantic_core
from flask import Response, request
from werkzeug.datastructures import Headers

from sluice.domain import errors, quick_json
from sluice.domain.gateway import chunks
from sluice.domain.gateway.function_calls import chunk_in_old_form, in_old_form
from sluice.http.errors import InternalError, openai_envelope
from sluice.http.gateway.connection import follow_reader
from sluice.ports.gateway import UpstreamStream
from sluice.services.gateway.exchange import ClientGone, Exchange, take_usage, usage_chunk

log = logging.getLogger("sluice.stream")

COMMENT_AFTER_SECONDS = 13.0  # of silence; the next turn comes within 2.5 s, so no silence is much longer than 15 s
FIRST_EVENT_SECONDS = 15.0  # a stream's status waits so long for its first event, so that early failures are 4xx or 5xx
# One newline: at an empty line some SDKs dispatch an event without data, which is no JSON (openai-go #621).
COMMENT = b": still working\n"
NO_USAGE = b',"usage":null}\n\n'
DONE = b"data: [DONE]\n\n"


class Begun(NamedTuple):
    """An exchange whose model has been asked."""

    exchange: Exchange
    stream: UpstreamStream
    keeper: "Keeper"
    dialect: "Dialect"


class Keeper(Protocol):
    """Stores an answer's text for its owner. Called with each chunk, then once at the end, also of a partial answer."""

    def add(self, payload: bytes) -> None: ...

    def end(self) -> None: ...


def whole_answer(exchange: Exchange, stream: UpstreamStream, keeper: Keeper, dialect: "Dialect") -> Response:
    """Errors: as `Exchange.events`; the exchange is settled in any case."""
    answer = dialect.whole(collect(exchange, stream, keeper))
    return _Sent(pydantic_core.to_json(answer), 200, mimetype="application/json")


def collect(
    exchange: Exchange,
    stream: UpstreamStream,
    keeper: Keeper,
    before: Callable[[list[bytes]], object] = lambda payloads: None,
) -> list[bytes]:
    """All chunks of an answer, for a caller who did not request a stream. Settles the exchange. `before`: gets them
    before that."""
    payloads: list[bytes] = []
    try:
        for payload in exchange.events(stream):
            if payload:
                payloads.append(payload)
                keeper.add(payload)
        reason = None
        ends = [quick_json.loads(payload) for payload in payloads if chunks.may_be_last(payload)]
        for chunk in ends:
            reason = chunks.finish_reason(chunk) or reason
            take_usage(stream, chunk)
        if ends and not any(chunk.get("usage") for chunk in ends):
            payloads.append(usage_chunk(stream, ends[-1]))
        before(payloads)
        exchange.settle(200, reason)
    except BaseException as exc:
        exchange.fail(exc)
        if not exchange.withdrawn:
            keeper.end()
        raise
    keeper.end()
    return payloads


class Dialect(Protocol):
    """The form in which the engine's chat chunks are sent to the caller."""

    include_usage: bool
    silence: bytes
    """Sent while the model is silent."""

    def passed(self, payload: bytes) -> bytes:
        """The bytes for one chunk that is not the last; none if the caller gets nothing of it."""

    def ending(self, held: list[bytes]) -> bytes:
        """The bytes for the finish chunk and what follows it. The request is settled when this is called."""

    def failed(self, error: errors.SluiceError) -> bytes:
        """The bytes that end a stream whose answer failed."""

    def whole(self, payloads: Iterable[bytes]) -> Mapping[str, Any]:
        """The answer of a call without streaming. The request is settled when this is called."""


class OpenAIDialect:
    """What OpenAI's two dialects share."""

    silence = COMMENT

    def failed(self, error: errors.SluiceError) -> bytes:
        return b"data: " + json.dumps(openai_envelope(error), separators=(",", ":")).encode() + b"\n\n"


class ChatDialect(OpenAIDialect):
    """Chunks unchanged. `include_usage`: send the usage chunk, and `"usage": null` in all others, as OpenAI does.
    `more`: fields to add to the last chunk or the whole."""

    def __init__(self, *, include_usage: bool, more: Mapping[str, Any] | None = None) -> None:
        self.include_usage, self._more = include_usage, more

    def passed(self, payload: bytes) -> bytes:
        if self.include_usage and (payload.find(b'"usage"') < 0 or "usage" not in json.loads(payload)):
            return b"data: " + payload.rstrip()[:-1] + NO_USAGE
        return b"data: " + payload + b"\n\n"

    def ending(self, held: list[bytes]) -> bytes:
        if self._more and held:
            held[-1] = json.dumps({**json.loads(held[-1]), **self._more}, separators=(",", ":")).encode()
        return b"".join([*map(self.passed, held), DONE])

    def whole(self, payloads: Iterable[bytes]) -> dict[str, Any]:
        return {**chunks.whole(payloads), **(self._more or {})}


class FunctionCallDialect(ChatDialect):
    """Chat whose calls have the form that OpenAI had before tools."""

    def passed(self, payload: bytes) -> bytes:
        return super().passed(chunk_in_old_form(payload))

    def whole(self, payloads: Iterable[bytes]) -> dict[str, Any]:
        return in_old_form(super().whole(payloads))


def streamed_answer(exchange: Exchange, stream: UpstreamStream, keeper: Keeper, dialect: Dialect) -> Response:
    """Errors before the first event: as `Exchange.events`; the exchange is settled. Later ones become stream events."""
    return begun(Body(exchange, stream, keeper, dialect))


def begun(body: "Body") -> Response:
    """As `streamed_answer`."""
    give_up = time.monotonic() + FIRST_EVENT_SECONDS
    for _ in body.beginning():
        if time.monotonic() > give_up:
            break
    return event_stream(body)


def event_stream(body: Iterable[bytes]) -> Response:
    """`body` has a method `close`, which the server calls in any case."""
    follow_reader(request.environ)
    headers = {"X-Accel-Buffering": "no"}
    return _Sent(body, 200, headers, mimetype="text/event-stream")


class _Sent(Response):
    """An answer of bytes with a body and without a location, so that Werkzeug need not look at its parts again."""

    def iter_encoded(self) -> Iterator[bytes]:
        return iter(self.response)  # type: ignore[arg-type]

    def get_wsgi_headers(self, environ: object) -> Headers:
        return self.headers


class Body:
    """The answer's bytes. It is a class, because a generator that is closed before its start does not run `finally`."""

    def __init__(self, exchange: Exchange, stream: UpstreamStream, keeper: Keeper, dialect: Dialect) -> None:
        self._exchange, self._stream, self._keeper, self._dialect = exchange, stream, keeper, dialect
        self._first, self._events = b"", exchange.events(stream)
        self._blocks = self._run()

    def beginning(self) -> Iterator[None]:
        """Until the first event with content: None for each ping. Errors, by which the exchange is settled: as
        `Exchange.events`, ModelUnavailable."""
        try:
            for payload in self._events:
                if payload:
                    self._first = payload
                    return
                yield
            raise errors.ModelUnavailable("The model ended without an answer.")
        except GeneratorExit:  # nobody waits for the beginning any more; `close` settles
            raise
        except BaseException as exc:
            self._exchange.fail(exc)
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        """The server calls this when the answer has ended, and when the caller's connection broke."""
        if not self._exchange.over:
            self._fail(ClientGone())

    def _fail(self, cause: Exception) -> None:
        self._exchange.fail(cause)
        self._keeper.end()

    def _run(self) -> Iterator[bytes]:
        held: list[bytes] = []
        try:
            yield from self._relay(held)
            ending = self._end(self._read_end(held), held)
        except ClientGone:
            return  # `close` settles
        except Exception as cause:
            exc = cause if isinstance(cause, errors.SluiceError) else InternalError()
            if exc is not cause:
                log.exception("a stream failed", extra={"request_id": self._exchange.request.request_id})
            self._fail(exc)
            yield self._dialect.failed(exc)
            return
        self._keeper.end()
        yield ending

    def _end(self, reason: str | None, held: list[bytes]) -> bytes:
        self._exchange.settle(200, reason)
        return self._dialect.ending(held)

    def _relay(self, held: list[bytes]) -> Iterator[bytes]:
        """Pass chunks on at once. Hold a finish chunk and those after it, until another choice goes on. Send a comment
        in every silence."""
        sent = float("-inf")  # a ping is the first event only if `begin` has waited long enough
        passed, add = self._dialect.passed, self._keeper.add
        for payload in chain((self._first,), self._events):
            block = b""
            if payload:
                add(payload)
                if chunks.may_be_last(payload) or (held and not chunks.is_of_another_choice(held[0], payload)):
                    held.append(payload)
                    continue
                block = passed(payload)
                if held:
                    block = b"".join([*map(passed, held), block])
                    held.clear()
            if not block and time.monotonic() - sent >= COMMENT_AFTER_SECONDS:
                block = self._dialect.silence
            if block:
                sent = time.monotonic()
                yield block

    def _read_end(self, held: list[bytes]) -> str | None:
        """Parse the held chunks for finish reason and counts; drop a usage chunk that the caller did not request, and
        make one where the model server sends none."""
        reason = None
        parsed: list[tuple[bytes, dict[str, Any]]] = [(payload, quick_json.loads(payload)) for payload in held]
        held.clear()
        for payload, chunk in parsed:
            reason = chunks.finish_reason(chunk) or reason
            take_usage(self._stream, chunk)
            if self._dialect.include_usage or not chunks.is_usage_only(chunk):
                held.append(payload)
        if parsed and self._dialect.include_usage and not any(chunk.get("usage") for _, chunk in parsed):
            held.append(usage_chunk(self._stream, parsed[-1][1]))
        return reason
