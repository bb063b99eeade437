"""A message in a chat: the same admission, relay and ledger as the API's, with the session in the API token's place."""

import logging

from flask import Response, g, request

from sluice import wiring
from sluice.domain import chunks
from sluice.domain.admission import PLAYGROUND
from sluice.domain.chats import CONTENT_CHARACTERS, ChatMessage, message_id, prompt
from sluice.domain.errors import ModelNotFound, StoreUnavailable
from sluice.domain.tokens import SCOPES, Claims
from sluice.http import connection
from sluice.http.auth import Caller
from sluice.http.gateway_flow import STREAMED
from sluice.http.models_chats import MessageBody
from sluice.http.models_v1 import bound
from sluice.http.streaming import ChatDialect, streamed_answer
from sluice.services.chats import Turn, begin_turn, end_turn, prepare_turn
from sluice.services.exchange import Exchange

log = logging.getLogger("sluice.chats")


def answer_message(caller: Caller, chat_id: str, body: MessageBody) -> Response:
    gateway, chats = wiring.gateway(), wiring.chat_store()
    now_ms = gateway.clock() // 1_000_000
    turn = prepare_turn(caller.account_id, chat_id, body.content, body.replaces, chats=chats, now_ms=now_ms)
    claims = Claims(PLAYGROUND, caller.account_id, now_ms // 1000, now_ms // 1000, frozenset(SCOPES), None)
    model = gateway.model_for(claims, body.model or turn.chat.model or _first_chat_model(), "chat")
    messages = prompt(turn.chat, turn.history, body.content)
    g.rate_account = caller.account_id
    exchange, completion_tokens = gateway.start(
        claims,
        g.server_request_id,
        model,
        "chats",
        stream=True,
        prompt_bound=bound(message["content"] for message in messages),
        max_tokens=body.max_tokens,
        client_gone=connection.watch(request.environ),
    )
    asked = {**body.sampling(), **STREAMED, "model": model["id"], "messages": messages, "max_tokens": completion_tokens}
    events = gateway.ask(exchange, "/v1/chat/completions", asked)
    try:
        begin_turn(turn, chats=chats)
    except BaseException as exc:
        exchange.fail(exc)
        raise
    return streamed_answer(exchange, events, ChatKeeper(exchange, turn), ChatDialect(include_usage=True))


def _first_chat_model() -> str:
    """Errors: ModelNotFound, ModelUnavailable."""
    for model in wiring.gateway().models.all():
        if "chat" in model.get("capabilities", ["chat"]):
            return str(model["id"])
    raise ModelNotFound()


class ChatKeeper:
    """Keeps the answer in its chat, whole or as far as it came. The log needs no second copy."""

    def __init__(self, exchange: Exchange, turn: Turn) -> None:
        self._exchange, self._turn = exchange, turn
        self._transcript = chunks.Transcript(CONTENT_CHARACTERS)
        self.add = self._transcript.add

    def end(self) -> None:
        record, now_ms = self._exchange.record, wiring.gateway().clock() // 1_000_000
        whole = record is not None and record.status == 200
        answer = ChatMessage(
            message_id=message_id(max(now_ms, self._turn.question.created_ms + 1)),
            role="assistant",
            content=self._transcript.text(),
            created_ms=now_ms,
            status="complete" if whole else "broken_off",
            request_id=self._exchange.ask.request_id,
            prompt_tokens=record.prompt_tokens if record else None,
            completion_tokens=record.completion_tokens if record else None,
            response_time_ms=record.response_time_ms if record else None,
        )
        try:
            end_turn(self._turn, answer, chats=wiring.chat_store())
        except StoreUnavailable:
            log.warning("an answer was not kept in its chat", extra={"request_id": self._exchange.ask.request_id})
