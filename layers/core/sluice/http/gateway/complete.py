"""Completions, chat completions and embeddings: authenticate, check the body, call the service, render."""

from typing import Any

from flask import Response

from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.context import admitting
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.streaming import ChatDialect, streamed_answer, whole_answer
from sluice.http.operation import parse_body
from sluice.services.gateway.answer import LogKeeper
from sluice.services.gateway.request import ModelRequest
from sluice.wiring.gateway import answers, gateway


def complete(model_class: type[ChatBody] | type[CompletionBody], endpoint: str, path: str, capability: str) -> Response:
    """Chat and plain completions."""
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        body = parse_body(model_class)
        model = gateway().model_for(claims, body.model, capability)
        answers().check_grounding(claims, body.grounding)
    request = ModelRequest(
        claims,
        model,
        endpoint,
        body.forwarded(),
        body.token_bound(),
        body.completion_limit,
        bool(body.stream),
        body.grounding,
        path,
        body.choices,
    )
    answer = answers().start(request, admitting(claims))
    keeper = LogKeeper(gateway(), answer.exchange, body.prompt_text)
    if not body.stream:
        return whole_answer(answer.exchange, answer.events, keeper, answer.own_fields)
    dialect = ChatDialect(include_usage=body.include_usage, more=answer.own_fields)
    return streamed_answer(answer.exchange, answer.events, keeper, dialect, body.choices)


def embed() -> dict[str, Any]:
    claims = authenticate("embeddings")
    with gateway().form_counted(claims):
        body = parse_body(EmbeddingBody)
        model = gateway().model_for(claims, body.model, "embeddings")
    request = ModelRequest(
        claims, model, "embeddings", body.forwarded(), body.token_bound(), max_tokens=0, path="/v1/embeddings"
    )
    return gateway().embed(request, admitting(claims))
