"""A message in a chat: the same admission, relay and ledger as the API's, with the session in the API token's place."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, g, request

from sluice.domain.chats.chat import CONTENT_CHARACTERS, ChatMessage, Cited, message_id, prompt
from sluice.domain.documents.document import Passage
from sluice.domain.documents.retrieval import citations
from sluice.domain.errors import ModelNotFound, NotFound, SluiceError, StoreUnavailable
from sluice.domain.gateway import chunks
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.tokens import SCOPES, Claims
from sluice.http.auth import Caller
from sluice.http.chats.requests import ChatRetrieval, MessageBody
from sluice.http.gateway import connection
from sluice.http.gateway.complete import STREAMED
from sluice.http.gateway.requests import bound
from sluice.http.gateway.streaming import ChatDialect, collect, streamed_answer
from sluice.ports.gateway import UpstreamStream
from sluice.services.chats import Turn, begin_turn, end_turn, prepare_turn
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.grounded_answer import Wanted, ask_grounded
from sluice.wiring import services, stores

log = logging.getLogger("sluice.chats")
MESSAGE_ID = "x-sluice-message-id"  # of the question, so that it can be named in `replaces` at once


def answer_message(caller: Caller, chat_id: str, body: MessageBody) -> Response:
    """As server-sent events. Until the model has begun to answer nothing is written, so a refused message leaves its
    chat as it was, what it would have replaced included."""
    asked = _ask(caller, chat_id, body)
    more = None if asked.given is None else {"citations": citations(asked.given)}
    dialect = ChatDialect(include_usage=True, more=more)
    response = streamed_answer(asked.exchange, asked.events, asked.keeper, dialect)
    try:
        asked.keeper.begin()
    except BaseException as exc:
        asked.exchange.fail(exc)
        raise
    response.headers[MESSAGE_ID] = asked.turn.question.message_id
    return response


def answer_whole(caller: Caller, chat_id: str, body: MessageBody) -> None:
    """For a browser without script: returns once the answer is kept, also where it broke off after it had begun."""
    asked = _ask(caller, chat_id, body)
    try:
        collect(asked.exchange, asked.events, asked.keeper)
    except SluiceError:
        if not asked.keeper.begun:
            raise


@dataclass(frozen=True)
class Asked:
    turn: Turn
    exchange: Exchange
    events: UpstreamStream
    keeper: "ChatKeeper"
    given: list[Passage] | None  # to the model; None where no documents were searched


def _ask(caller: Caller, chat_id: str, body: MessageBody) -> Asked:
    """Errors: NotFound, ValidationFailed, ModelNotFound, and as `Gateway.start` and `Gateway.ask`."""
    gateway, chats = services.gateway(), stores.chat_store()
    now_ms = gateway.clock() // 1_000_000
    turn = prepare_turn(caller.account_id, chat_id, body.content, body.replaces, chats=chats, now_ms=now_ms)
    claims = Claims(PLAYGROUND, caller.account_id, now_ms // 1000, now_ms // 1000, frozenset(SCOPES), None)
    model = gateway.model_for(claims, body.model or turn.chat.model or _first_chat_model(), "chat")
    messages = prompt(turn.chat, turn.history, body.content)
    wanted = _documents(caller, body.documents)
    sampling = body.sampling()
    if turn.chat.temperature is not None:
        sampling.setdefault("temperature", turn.chat.temperature)
    g.rate_account = caller.account_id
    exchange, completion_tokens = gateway.start(
        claims,
        g.server_request_id,
        model,
        "chats",
        stream=True,
        prompt_bound=bound(message["content"] for message in messages) + (wanted.prompt_bound if wanted else 0),
        max_tokens=turn.chat.max_tokens if body.max_tokens is None else body.max_tokens,
        connection=connection.of(request.environ),
    )
    asked = {**sampling, **STREAMED, "model": model["id"], "messages": messages, "max_tokens": completion_tokens}
    if wanted is None:
        events = gateway.ask(exchange, "/v1/chat/completions", asked)
        return Asked(turn, exchange, events, ChatKeeper(exchange, turn), None)
    grounded = ask_grounded(gateway, services.retrieval(), exchange, model, asked, wanted)
    return Asked(turn, exchange, grounded.events, ChatKeeper(exchange, turn, grounded.given), grounded.given)


def _documents(caller: Caller, asked: ChatRetrieval | None) -> Wanted | None:
    """Errors: NotFound (a vector store of another account is none), StoreUnavailable."""
    if asked is None:
        return None
    if asked.vector_store_ids is None:
        stores = services.my_documents().searched(caller.account_id)
    else:
        stores = asked.vector_store_ids
        services.retrieval().check(caller.account_id, stores)
    return Wanted(stores, asked.top_k, asked.mode == "strict")


def chat_models() -> list[str]:
    """The names of the models that chat. Errors: ModelUnavailable."""
    models = services.gateway().models.all()
    return [str(model["id"]) for model in models if "chat" in model.get("capabilities", ["chat"])]


def _first_chat_model() -> str:
    """Errors: ModelNotFound, ModelUnavailable."""
    for name in chat_models():
        return name
    raise ModelNotFound()


class ChatKeeper:
    """Keeps question and answer in their chat, the answer whole or as far as it came. The log needs no second copy."""

    def __init__(self, exchange: Exchange, turn: Turn, given: Sequence[Passage] | None = None) -> None:
        self._exchange, self._turn, self._given = exchange, turn, given
        self._transcript = chunks.Transcript(CONTENT_CHARACTERS)
        self.add = self._transcript.add
        self.begun = False

    def begin(self) -> None:
        """Errors: NotFound (the chat was deleted meanwhile), StoreUnavailable."""
        begin_turn(self._turn, chats=stores.chat_store())
        self.begun = True

    def end(self) -> None:
        record, text = self._exchange.record, self._transcript.text()
        whole = record is not None and record.status == 200
        if not (self.begun or text or whole):
            return  # the model never began
        now_ms = services.gateway().clock() // 1_000_000
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
            log.warning("an answer was not kept in its chat", extra={"request_id": self._exchange.ask.request_id})
