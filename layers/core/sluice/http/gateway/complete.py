"""What the gateway's routes do: who asks, check the body, admit, ask the model, answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, g, request

from sluice.domain import errors
from sluice.domain.documents.document import Passage
from sluice.domain.documents.retrieval import citations
from sluice.domain.gateway import chunks
from sluice.domain.gateway.contents import MAX_TEXT_BYTES
from sluice.domain.gateway.responses import Assembly, Message, messages_from
from sluice.domain.ids import random_id
from sluice.domain.tokens import Claims
from sluice.http.gateway import connection
from sluice.http.gateway.bearer import bearer_token
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody, bound
from sluice.http.gateway.responses import ResponsesDialect, whole_response
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.gateway.streaming import ChatDialect, collect, streamed_answer, whole_answer
from sluice.http.operation import parse_body
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.grounded_answer import Wanted, ask_grounded
from sluice.wiring import peers, services

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}  # the engine is always asked to stream


def authenticate(scope: str | None) -> Claims:
    """Who signs; whether the API token is still live is admission's to say. Errors: InvalidApiToken, and
    InsufficientScope where it lacks `scope`."""
    claims = peers.token_verifier().verify(bearer_token(), services.gateway().clock() // 1_000_000_000)
    if scope is not None and scope not in claims.scopes:
        with services.gateway().welcome(claims):
            raise errors.InsufficientScope(f"This API token lacks the scope {scope!r}.")
    return claims


def complete(model_class: type[ChatBody] | type[CompletionBody], endpoint: str, path: str, capability: str) -> Response:
    """Chat and plain completions."""
    claims, gateway = authenticate("inference"), services.gateway()
    with gateway.welcome(claims):
        body = parse_body(model_class)
        model = gateway.model_for(claims, body.model, capability)
        wanted = body.grounding
        if wanted is not None:
            may_search(claims, wanted)
    stream = bool(body.stream)
    exchange, completion_tokens = _admit(
        claims,
        model,
        endpoint,
        stream=stream,
        prompt_bound=body.token_bound() + (wanted.prompt_bound if wanted else 0),
        max_tokens=body.completion_limit,
    )
    asked = {**body.forwarded(), **STREAMED, "max_tokens": completion_tokens}
    more: dict[str, Any] | None = None
    if wanted is None:
        events = gateway.ask(exchange, path, asked)
    else:
        grounded = ask_grounded(gateway, services.retrieval(), exchange, model, asked, wanted)
        events, more = grounded.events, {"citations": citations(grounded.given)}
    keeper = LogKeeper(exchange, body.prompt_text)
    if stream:
        return streamed_answer(exchange, events, keeper, ChatDialect(include_usage=body.include_usage, more=more))
    return whole_answer(exchange, events, keeper, more)


def may_search(claims: Claims, wanted: Wanted) -> None:
    """Errors: InsufficientScope, NotFound (a vector store of another account is none), StoreUnavailable."""
    if "files" not in claims.scopes:
        raise errors.InsufficientScope("This API token lacks the scope 'files'.")
    services.retrieval().check(claims.account_id, wanted.store_ids)


def embed() -> dict[str, Any]:
    claims, gateway = authenticate("embeddings"), services.gateway()
    with gateway.welcome(claims):
        body = parse_body(EmbeddingBody)
        model = gateway.model_for(claims, body.model, "embeddings")
    unbounded = {**model, "context_window": None}  # each input may fill the context, so it bounds nothing here
    exchange, _ = _admit(claims, unbounded, "embeddings", stream=False, prompt_bound=body.token_bound(), max_tokens=0)
    return gateway.embed(exchange, body.forwarded())


def respond() -> Response:
    """The Responses API over the same engine."""
    claims, gateway = authenticate("inference"), services.gateway()
    now_ms = gateway.clock() // 1_000_000
    with gateway.welcome(claims):
        body = parse_body(ResponseBody)
        model = gateway.model_for(claims, body.model, "chat")
        wanted = body.grounding
        if wanted is not None:
            may_search(claims, wanted)
        history = _history(claims, body, now_ms)
    instructions: list[Message] = [{"role": "system", "content": body.instructions}] if body.instructions else []
    messages = [*instructions, *history]
    asked = {**body.forwarded(), **STREAMED, "messages": messages}
    exchange, completion_tokens = _admit(
        claims,
        model,
        "responses",
        stream=bool(body.stream),
        prompt_bound=bound(json.dumps(m, ensure_ascii=False) for m in messages)
        + body.tools_bound()
        + (wanted.prompt_bound if wanted else 0),
        max_tokens=body.max_output_tokens,
    )
    assembly = Assembly(random_id("resp_"), now_ms // 1000, body.echoed())

    def store(done: Assembly) -> None:
        if body.stored:
            messages = [*history, *done.answer_messages()]
            services.stored_responses().put(claims.account_id, done.kept(), messages, now_ms)

    asked["max_tokens"] = completion_tokens
    if wanted is None:
        events = gateway.ask(exchange, "/v1/chat/completions", asked)
    else:
        grounded = ask_grounded(gateway, services.retrieval(), exchange, model, asked, wanted)
        events = grounded.events
        cited = [(passage.file_id, passage.filename) for passage in grounded.given]
        assembly.searched(grounded.query, _results(grounded.found) if body.shows_results else None, cited)
    keeper = LogKeeper(exchange, lambda: json.dumps(messages, ensure_ascii=False))
    if body.stream:
        return streamed_answer(exchange, events, keeper, ResponsesDialect(assembly, store))
    answer = whole_response(assembly, collect(exchange, events, keeper))
    store(assembly)
    return Response(json.dumps(answer, ensure_ascii=False), mimetype="application/json")


def _results(found: Sequence[Passage]) -> list[dict[str, Any]]:
    return [
        {
            "file_id": passage.file_id,
            "filename": passage.filename,
            "score": passage.score,
            "attributes": dict(passage.attributes),
            "text": passage.text,
        }
        for passage in found
    ]


def stored_response(response_id: str) -> dict[str, Any]:
    claims, gateway = authenticate("inference"), services.gateway()
    gateway.caller(claims)
    return services.stored_responses().get(claims.account_id, response_id, gateway.clock() // 1_000_000).response


def delete_response(response_id: str) -> dict[str, Any]:
    claims, gateway = authenticate("inference"), services.gateway()
    gateway.caller(claims)
    services.stored_responses().delete(claims.account_id, response_id, gateway.clock() // 1_000_000)
    return {"id": response_id, "object": "response", "deleted": True}


def _history(claims: Claims, body: ResponseBody, now_ms: int) -> list[Message]:
    """The conversation so far and the new input; instructions are not carried over, as OpenAI's are not."""
    messages = messages_from(body.input_items())
    if body.previous_response_id:
        before = services.stored_responses().get(claims.account_id, body.previous_response_id, now_ms)
        messages = [*before.messages, *messages]
    if body.stored:
        services.stored_responses().check_size(messages)
    return messages


def _admit(
    claims: Claims,
    model: Mapping[str, Any],
    endpoint: str,
    *,
    stream: bool,
    prompt_bound: int,
    max_tokens: int | None,
) -> tuple[Exchange, int]:
    g.rate_account = claims.account_id  # from here on the answer tells the account's limits
    return services.gateway().start(
        claims,
        g.server_request_id,
        model,
        endpoint,
        stream=stream,
        prompt_bound=prompt_bound,
        max_tokens=max_tokens,
        connection=connection.of(request.environ),
    )


class LogKeeper:
    """Keeps what was asked and answered in the caller's own log, if the account wants that."""

    def __init__(self, exchange: Exchange, prompt: Callable[[], str]) -> None:
        self._exchange, self._prompt = exchange, prompt
        self._transcript = chunks.Transcript(MAX_TEXT_BYTES if exchange.grant.store_content else 0)

    def add(self, payload: bytes) -> None:
        self._transcript.add(payload)

    def end(self) -> None:
        if self._exchange.grant.store_content:
            services.gateway().keep_content(self._exchange.ask, self._prompt(), self._transcript.text())
