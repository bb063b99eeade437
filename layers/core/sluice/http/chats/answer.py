"""Answers to chat messages. Admission, relay and ledger are the API's; a session takes the place of the API token."""

from dataclasses import dataclass

from flask import Response

from sluice.domain.chats.chat import Chat
from sluice.domain.chats.prompt import Prompt
from sluice.domain.documents.retrieval import DEFAULT_TOP_K, Grounding
from sluice.domain.documents.uploads import own_store_id
from sluice.domain.errors import ModelNotFound, SluiceError
from sluice.domain.tokens import Claims
from sluice.http.auth import Caller
from sluice.http.chats.requests import ChatRetrieval, MessageBody
from sluice.http.gateway.context import admitting
from sluice.http.gateway.messages import bound
from sluice.http.gateway.streaming import ChatDialect, collect, streamed_answer
from sluice.services.chats.turns import Turn, TurnKeeper
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.request import ModelRequest, playground_claims
from sluice.wiring.chats import chat_turns
from sluice.wiring.documents import my_documents
from sluice.wiring.gateway import answers, gateway

MESSAGE_ID = "x-sluice-message-id"  # of the question, so that it can be named in `replaces` at once


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


def answer_whole(caller: Caller, chat_id: str | None, body: MessageBody) -> str:
    """For browsers without JavaScript: returns once the answer is stored, also if it broke off after its beginning.
    `chat_id`: None for a message that begins a chat. → the id of its chat."""
    running = _start(caller, chat_id, body)
    try:
        collect(running.answer.exchange, running.answer.events, running.keeper)
    except SluiceError:
        if not running.keeper.begun:
            raise
    return running.turn.chat.chat_id


@dataclass(frozen=True)
class RunningTurn:
    turn: Turn
    answer: Answer
    keeper: TurnKeeper


def _start(caller: Caller, chat_id: str | None, body: MessageBody) -> RunningTurn:
    """Errors: NotFound, ValidationFailed, ModelNotFound, and as `Answers.start`."""
    turns = chat_turns()
    if chat_id is None:
        turn = turns.first(caller.account_id, body.content)
    else:
        turn = turns.prepare(caller.account_id, chat_id, body.content, body.replaces)
    claims = playground_claims(caller.account_id, turn.began_ms // 1000)
    request, prompt = _request(claims, turn, body)
    answer = answers().start(request, admitting(claims))
    return RunningTurn(turn, answer, TurnKeeper(turns, turn, prompt, answer))


def _request(claims: Claims, turn: Turn, body: MessageBody) -> tuple[ModelRequest, Prompt]:
    """What the message leaves out, its chat says. Errors: ModelNotFound, ModelUnavailable, NotFound,
    StoreUnavailable."""
    chat, sampling = turn.chat, body.sampling()
    grounding = _grounding(claims, chat, body.documents)
    model = gateway().model_for(claims, body.model or chat.model or _first_chat_model(), "chat")
    if chat.temperature is not None:
        sampling.setdefault("temperature", chat.temperature)
    most = chat.max_tokens if body.max_tokens is None else body.max_tokens
    longest, passages = most or gateway().defaults.max_tokens, grounding.prompt_bound if grounding else 0
    prompt = Prompt(chat, turn.history, body.content, model.get("context_window") or None, longest, passages)
    request = ModelRequest(
        claims,
        model,
        "chats",
        {**sampling, "model": model["id"], "messages": prompt.messages},
        bound(message["content"] for message in prompt.messages),
        most,
        stream=True,
        grounding=grounding,
        shorter=prompt.shorter,
    )
    return request, prompt


def _grounding(claims: Claims, chat: Chat, wanted: ChatRetrieval | None) -> Grounding | None:
    """Without a wish the chat's own files, if it has some. Errors: NotFound (also for another account's vector
    store), StoreUnavailable."""
    if wanted is None:
        own = [own_store_id(claims.account_id)]
        return Grounding(own, DEFAULT_TOP_K, floored=False, file_ids=frozenset(chat.files)) if chat.files else None
    strict = wanted.mode == "strict"
    if wanted.vector_store_ids is None:
        return Grounding(my_documents().searched(claims.account_id, gateway().now_ms()), wanted.top_k, strict=strict)
    grounding = Grounding(wanted.vector_store_ids, wanted.top_k, strict=strict)
    answers().check_grounding(claims, grounding)
    return grounding


def _first_chat_model() -> str:
    """Errors: ModelNotFound, ModelUnavailable."""
    for name in gateway().routes().names("chat"):
        return name
    raise ModelNotFound()
