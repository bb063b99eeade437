"""Answers to chat messages. Admission, relay and ledger are the API's; a session takes the place of the API token."""

from contextlib import suppress
from dataclasses import replace

from flask import Response, g

from sluice.domain.chats.chat import Chat
from sluice.domain.chats.prompt import Prompt
from sluice.domain.documents.retrieval import DEFAULT_TOP_K, Grounding
from sluice.domain.documents.uploads import own_store_id
from sluice.domain.errors import Conflict, ModelNotFound, NotFound, StoreUnavailable
from sluice.domain.runs import Run
from sluice.domain.tokens import Claims
from sluice.http.auth import Caller
from sluice.http.chats.requests import ChatRetrieval, MessageBody
from sluice.http.chats.running import ChatBody
from sluice.http.gateway.context import admitting
from sluice.http.gateway.messages import bound
from sluice.http.gateway.streaming import begun
from sluice.services.chats.turns import ANSWERING, Turn, TurnKeeper
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.request import (
    ModelRequest,
    RequestContext,
    RunContext,
    Superseded,
    playground_claims,
)
from sluice.services.runs import Watch
from sluice.wiring.chats import chat_turns
from sluice.wiring.documents import my_documents
from sluice.wiring.gateway import answers, gateway
from sluice.wiring.runs import runs

MESSAGE_ID = "x-sluice-message-id"  # of the question, so that it can be named in `replaces` at once


def answer_message(caller: Caller, chat_id: str, body: MessageBody) -> Response:
    """Answer with server-sent events. The answer goes on when its reader leaves. A message that is refused before the
    model has begun leaves its chat as it was."""
    turn, keeper, answer = _start(caller, chat_id, body)
    response = begun(answer)
    keeper.begun = True
    response.headers[MESSAGE_ID] = turn.question.message_id
    return response


def answer_whole(caller: Caller, chat_id: str | None, body: MessageBody) -> str:
    """For browsers without JavaScript: returns once the answer is stored, also if it broke off after its beginning.
    `chat_id`: None for a message that begins a chat. → the id of its chat."""
    turn, _, answer = _start(caller, chat_id, body)
    for _ in answer.beginning():
        pass
    answer.close()  # to its end
    return turn.chat.chat_id


def _start(caller: Caller, chat_id: str | None, body: MessageBody) -> tuple[Turn, TurnKeeper, ChatBody]:
    """Errors: NotFound, ValidationFailed, Conflict, ModelNotFound, and as `Answers.start`."""
    turns, account_id = chat_turns(), caller.account_id
    if chat_id is None:
        turn = turns.first(account_id, body.content)
    else:
        turn = turns.prepare(account_id, chat_id, body.content, body.replaces)
    claims = playground_claims(account_id, turn.began_ms // 1000)
    request, prompt = requested(claims, turn, body)
    options = body.model_dump_json(exclude={"content", "replaces"}, exclude_none=True)
    run = Run(account_id, g.server_request_id, "", "in_progress", epoch=1, ask=options)
    watch = Watch(runs().rows, run)
    answer = _admitted(turn, watch, request, admitting(claims))
    keeper = TurnKeeper(turns, turn, run, prompt, answer)
    return turn, keeper, ChatBody(answer, keeper, watch)


def _admitted(turn: Turn, watch: Watch, request: ModelRequest, context: RequestContext) -> Answer:
    turns, claimed = chat_turns(), False

    def claim() -> None:
        nonlocal claimed
        claimed = True
        grant = gateway().admission.seen(watch.run.account_id)
        watch.run = replace(watch.run, keeps_events=grant is None or grant.store_content)
        try:
            turns.begin(turn, watch.run)
        except Conflict as exc:
            raise Superseded() from exc

    of_run = RunContext(watch.run.epoch, None, claim, at_once=True)
    try:
        return answers().start(request, replace(context, gone=watch.is_cancelled, run=of_run))
    except BaseException as exc:
        if claimed:
            with suppress(StoreUnavailable, NotFound):
                turns.undo(turn, watch.run)
        if isinstance(exc, Superseded):
            raise Conflict(ANSWERING) from exc
        raise


def requested(claims: Claims, turn: Turn, body: MessageBody) -> tuple[ModelRequest, Prompt]:
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
