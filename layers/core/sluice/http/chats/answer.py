"""Answers to chat messages. Admission, relay and ledger are the API's; a session takes the place of the API token."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from sluice.domain.chats.chat import CONTENT_CHARACTERS, ChatMessage, Cited, message_id, prompt
from sluice.domain.documents.document import Passage
from sluice.domain.documents.retrieval import Grounding
from sluice.domain.errors import ModelNotFound, NotFound, SluiceError, StoreUnavailable
from sluice.domain.gateway import chunks
from sluice.domain.tokens import Claims
from sluice.http.auth import Caller
from sluice.http.chats.requests import ChatRetrieval, MessageBody
from sluice.http.gateway.context import admitting
from sluice.http.gateway.messages import bound
from sluice.http.gateway.streaming import ChatDialect, collect, streamed_answer
from sluice.services.chats import Turn, begin_turn, end_turn, prepare_turn
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.request import ModelRequest, playground_claims
from sluice.wiring import services, stores

log = logging.getLogger("sluice.chats")
MESSAGE_ID = "x-sluice-message-id"  # the question's id, so that the client can use it in `replaces` at once


def answer_message(caller: Caller, chat_id: str, body: MessageBody) -> Response:
    """Answer with server-sent events. Nothing is written until the model has begun to answer, so a refused message
    changes nothing in its chat and replaces nothing."""
    running = _start(caller, chat_id, body)
    answer, keeper = running.answer, running.keeper
    dialect = ChatDialect(include_usage=True, more=answer.own_fields)
    response = streamed_answer(answer.exchange, answer.events, keeper, dialect)
    try:
        keeper.begin()
    except BaseException as exc:
        answer.exchange.fail(exc)
        raise
    response.headers[MESSAGE_ID] = running.turn.question.message_id
    return response


def answer_whole(caller: Caller, chat_id: str, body: MessageBody) -> None:
    """For browsers without JavaScript: returns once the answer is stored, also if it broke off after its beginning."""
    running = _start(caller, chat_id, body)
    try:
        collect(running.answer.exchange, running.answer.events, running.keeper)
    except SluiceError:
        if not running.keeper.begun:
            raise


@dataclass(frozen=True)
class RunningTurn:
    turn: Turn
    answer: Answer
    keeper: "ChatKeeper"


def _start(caller: Caller, chat_id: str, body: MessageBody) -> RunningTurn:
    """Errors: NotFound, ValidationFailed, ModelNotFound, and as `Answers.start`."""
    answers, chats = services.answers(), stores.chat_store()
    now_ms = answers.gateway.now_ms()
    turn = prepare_turn(caller.account_id, chat_id, body.content, body.replaces, chats=chats, now_ms=now_ms)
    request = _request(playground_claims(caller.account_id, now_ms // 1000), turn, body)
    answer = answers.start(request, admitting(caller.account_id))
    given = answer.sources.given if answer.sources else None
    return RunningTurn(turn, answer, ChatKeeper(answer.exchange, turn, given))


def _request(claims: Claims, turn: Turn, body: MessageBody) -> ModelRequest:
    """Omitted fields come from the chat. Errors: ModelNotFound, ModelUnavailable, NotFound, StoreUnavailable."""
    gateway, chat = services.gateway(), turn.chat
    model = gateway.model_for(claims, body.model or chat.model or _first_chat_model(), "chat")
    messages = prompt(chat, turn.history, body.content)
    sampling = body.sampling()
    if chat.temperature is not None:
        sampling.setdefault("temperature", chat.temperature)
    return ModelRequest(
        claims,
        model,
        "chats",
        {**sampling, "model": model["id"], "messages": messages},
        bound(message["content"] for message in messages),
        chat.max_tokens if body.max_tokens is None else body.max_tokens,
        stream=True,
        grounding=_grounding(claims, body.documents),
    )


def _grounding(claims: Claims, wanted: ChatRetrieval | None) -> Grounding | None:
    """Errors: NotFound (also for another account's vector store), StoreUnavailable."""
    if wanted is None:
        return None
    strict = wanted.mode == "strict"
    if wanted.vector_store_ids is None:
        return Grounding(services.my_documents().searched(claims.account_id), wanted.top_k, strict=strict)
    grounding = Grounding(wanted.vector_store_ids, wanted.top_k, strict=strict)
    services.answers().check_grounding(claims, grounding)
    return grounding


def _first_chat_model() -> str:
    """Errors: ModelNotFound, ModelUnavailable."""
    for name in services.gateway().models.names("chat"):
        return name
    raise ModelNotFound()


class ChatKeeper:
    """Stores question and answer in their chat, also a partial answer. The request log gets no second copy."""

    def __init__(self, exchange: Exchange, turn: Turn, given: Sequence[Passage] | None = None) -> None:
        self._exchange, self._turn, self._given = exchange, turn, given
        self._transcript = chunks.Transcript(CONTENT_CHARACTERS)
        self.add = self._transcript.add
        self.begun = False

    def begin(self) -> None:
        """Errors: NotFound (the chat was deleted in the meantime), StoreUnavailable."""
        begin_turn(self._turn, chats=stores.chat_store())
        self.begun = True

    def end(self) -> None:
        record, text = self._exchange.record, self._transcript.text()
        whole = record is not None and record.status == 200
        if not (self.begun or text or whole):
            return  # the model never began
        now_ms = services.gateway().now_ms()
        answer = ChatMessage(
            message_id=message_id(max(now_ms, self._turn.question.created_ms + 1)),
            role="assistant",
            content=text,
            created_ms=now_ms,
            status="complete" if whole else "broken_off",
            request_id=self._exchange.ask.request_id,
            prompt_tokens=record.prompt_tokens if record else None,
            completion_tokens=record.completion_tokens if record else None,
            response_time_ms=record.response_time_ms if record else None,
            finish_reason=record.finish_reason if record else None,
            citations=None
            if self._given is None
            else [Cited(one.file_id, one.filename, one.position) for one in self._given],
        )
        try:
            if not self.begun:
                self.begin()
            end_turn(self._turn, answer, chats=stores.chat_store())
        except (StoreUnavailable, NotFound):
            log.warning("answer not stored in its chat", extra={"request_id": self._exchange.ask.request_id})
