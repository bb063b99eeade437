"""An answer in a chat while it runs: it goes on when its reader leaves, others follow it, and each of them may stop it.

What is followed is stored in blocks of a quarter of a second, each under its number, from the first follower on: before
that nobody reads them. Each attempt numbers from a million of its own.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from flask import Response, request

from sluice.domain import errors
from sluice.domain.chats.chat import Chat
from sluice.domain.runs import EVENTS_AN_ATTEMPT, Run
from sluice.http.auth import Caller
from sluice.http.gateway.connection import watch
from sluice.http.gateway.streaming import (
    COMMENT,
    COMMENT_AFTER_SECONDS,
    DONE,
    Body,
    ChatDialect,
    OpenAIDialect,
    event_stream,
)
from sluice.http.lambda_deadline import seconds_left
from sluice.services.chats.turns import TurnKeeper
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.exchange import CLIENT_GONE_STATUS, ClientGone
from sluice.services.runs import Watch
from sluice.wiring.chats import chat_turns, chats
from sluice.wiring.runs import runs

BLOCK_SECONDS = 0.25
LOOK_SECONDS = 0.1  # between two looks for the next block
ROW_SECONDS = 1.0  # between two looks whether the answer is over
NONE_RUNS = "No answer is being written in this chat."


class ChatBody(Body):
    """It runs to its end when its reader leaves. The answer is stored before it is settled, so that what is charged is
    there."""

    def __init__(self, answer: Answer, keeper: TurnKeeper, watch: Watch) -> None:
        dialect = ChatDialect(include_usage=True, more=answer.own_fields)
        super().__init__(answer.exchange, answer.events, keeper, dialect)
        self._kept = keeper
        self._events = _shared(self._events, _Shared(watch, keeper))

    def beginning(self) -> Iterator[None]:
        try:
            yield from super().beginning()
        except Exception:
            self._kept.drop()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return map(bytes, self._blocks)  # the server closes an iterator that can be closed, and `close` goes on with it

    def close(self) -> None:
        for _ in self._blocks:
            pass

    def _run(self) -> Iterator[bytes]:
        yield from super()._run()
        super().close()  # of a run that was stopped: its end is stored before the stream ends

    def _end(self, reason: str | None, held: list[bytes]) -> bytes:
        if not self._stored(200, reason):
            raise ClientGone() if self._exchange.superseded else errors.StoreUnavailable()
        return super()._end(reason, held)

    def _fail(self, cause: Exception) -> None:
        if isinstance(cause, ClientGone):
            ended = CLIENT_GONE_STATUS, "cancelled"
        else:
            ended = self._exchange.context.status_of(cause), "error"
        with suppress(errors.StoreUnavailable):
            self._stored(*ended)
        self._exchange.fail(cause)

    def _stored(self, status: int, reason: str | None) -> bool:
        return self._exchange.holds() and self._kept.store(self._exchange.outcome(status, reason))


def _shared(events: Iterator[bytes], shared: "_Shared") -> Iterator[bytes]:
    for payload in events:  # also while the model is silent
        shared.look()
        yield payload


class _Shared:
    """What followers read: first the answer so far, then what has been added."""

    def __init__(self, watch: Watch, keeper: TurnKeeper) -> None:
        self._watch, self._keeper = watch, keeper
        self._next, self._text, self._thought = watch.run.first_event, 0, 0
        self._stored = 0.0

    def look(self) -> None:
        run = self._watch.run
        if not (run.followed and run.keeps_events) or time.monotonic() - self._stored < BLOCK_SECONDS:
            return
        self._stored = time.monotonic()
        text, thought = self._keeper.so_far()
        if (len(text), len(thought)) == (self._text, self._thought):
            return
        delta = {"content": text[self._text :], "reasoning_content": thought[self._thought :]}
        told = {"attempt": run.deaths, "choices": [{"delta": delta}]}
        block = f"id: {self._next}\ndata: {json.dumps(told, separators=(',', ':'))}\n\n"
        with suppress(errors.StoreUnavailable):  # then the next one has it
            runs().events.put(run, self._next, block.encode())
            self._next, self._text, self._thought = self._next + 1, len(text), len(thought)


def stop(caller: Caller, chat_id: str) -> None:
    """Errors: NotFound (no such chat), StoreUnavailable."""
    chat = chats().get(caller.account_id, chat_id)
    if (run := chat_turns().running(chat)) is not None:
        runs().rows.end(run, "cancelled")
        chat_turns().running(chat)  # one that waits for its turn is over


def followed(caller: Caller, chat_id: str, after: int) -> Response:
    """The events of the answer that is running, after the one of this number. Errors: NotFound, StoreUnavailable."""
    chat = chats().get(caller.account_id, chat_id)
    run = chat_turns().running(chat)
    if run is None:
        raise errors.NotFound(NONE_RUNS)
    if not run.followed:
        runs().rows.follow(run)
    return event_stream(_Following(chat, run, after, watch(request.environ)))


class _Following:
    def __init__(self, chat: Chat, run: Run, after: int, gone: Callable[[], bool]) -> None:
        self._chat, self._run, self._gone = chat, run, gone
        self._at = self._first(after)
        self._ends = time.monotonic() + seconds_left()  # then the caller asks again
        self._blocks = self._follow()

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self._blocks.close()  # type: ignore[attr-defined]

    def _first(self, after: int) -> int:
        first = self._run.first_event
        return after + 1 if first <= after < first + EVENTS_AN_ATTEMPT else first

    def _follow(self) -> Iterator[bytes]:
        said, looked = time.monotonic(), time.monotonic()
        yield COMMENT  # so that the caller has its headers
        try:
            while not self._gone() and time.monotonic() < self._ends:
                for block in self._ready():
                    said = time.monotonic()
                    yield block
                if time.monotonic() - looked >= ROW_SECONDS:
                    looked = time.monotonic()
                    if self._is_over():
                        yield DONE
                        return
                if time.monotonic() - said >= COMMENT_AFTER_SECONDS:
                    said = time.monotonic()
                    yield COMMENT
                time.sleep(LOOK_SECONDS)
        except errors.SluiceError as error:
            yield OpenAIDialect().failed(error)

    def _ready(self) -> Iterator[bytes]:
        while self._run.keeps_events and (block := runs().events.get(self._run, self._at)) is not None:
            self._at += 1
            yield block

    def _is_over(self) -> bool:
        try:
            self._chat = chats().get(self._chat.account_id, self._chat.chat_id)
        except errors.NotFound:  # deleted
            return True
        run = chat_turns().running(self._chat)
        if run is None or run.run_id != self._run.run_id:
            return True
        if run.deaths != self._run.deaths:
            self._at = run.first_event
        self._run = run
        return False
