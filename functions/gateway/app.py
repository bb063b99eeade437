"""The gateway: OpenAI-compatible, admitted by one conditional write, settled before the last byte.

On AWS it runs under gunicorn and the Lambda Web Adapter, so that answers stream (`app:app` is built by `create`).
"""

import json
from typing import Any

from flask import Blueprint, Flask, Response, g, request

from sluice import settings, wiring
from sluice.domain import chunks, errors
from sluice.domain.contents import MAX_TEXT_BYTES
from sluice.domain.ratelimit_headers import headers as rate_headers
from sluice.domain.tokens import Claims
from sluice.http import connection
from sluice.http.answers_v1 import ChatCompletion, Completion, EmbeddingList, ModelCollection, ModelInfo
from sluice.http.app import create_app
from sluice.http.bearer import bearer_token
from sluice.http.models_v1 import ChatBody, CompletionBody, EmbeddingBody, Sampling
from sluice.http.operation import Auth, operation, parse_body
from sluice.http.streaming import streamed_answer, whole_answer
from sluice.services.exchange import CLIENT_GONE_STATUS, ClientGone

blueprint = Blueprint("gateway", __name__)
TAG = "Gateway"
COMMON_ERRORS = (errors.InvalidApiToken, errors.AccountSuspended, errors.InsufficientScope, errors.StoreUnavailable)
COMPLETION_ERRORS = (
    *COMMON_ERRORS,
    errors.InvalidModelRequest,
    errors.ContextLengthExceeded,
    errors.ModelNotFound,
    errors.RateLimitExceeded,
    errors.QuotaExceeded,
    errors.TooManyConcurrentRequests,
    errors.ModelUnavailable,
    errors.Overloaded,
    errors.UpstreamTimeout,
)


@blueprint.before_request
def _take_place() -> None:
    places = wiring.v1_places()
    places.enter()
    g.v1_place = places


@blueprint.teardown_request
def _leave_unanswered(exc: BaseException | None) -> None:
    """A request that ended without a response object of ours (which leaves by itself, see `_finish`)."""
    places = g.pop("v1_place", None)
    if places is not None:
        places.leave()


@blueprint.after_request
def _finish(response: Response) -> Response:
    """A streamed answer outlives the request: its place is free when the last byte is sent or the caller is gone."""
    grant = wiring.gateway().admission.seen(g.rate_account) if "rate_account" in g else None
    if grant is not None:  # admitted or limited
        response.headers.update(rate_headers(grant, wiring.gateway().clock()))
    places = g.pop("v1_place", None)
    if places is not None:
        response.call_on_close(places.leave)
    return response


@blueprint.errorhandler(ClientGone)
def _nobody_there(exc: ClientGone) -> Response:
    """Settled already; the answer goes nowhere."""
    return Response(status=CLIENT_GONE_STATUS)


@blueprint.get("/v1/models")
@operation(
    "The models this API token may use",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: ModelCollection},
    errors=COMMON_ERRORS,
)
def list_models() -> dict[str, Any]:
    claims = _authenticate(scope=None)
    gateway = wiring.gateway()
    gateway.caller(claims)
    allowed = [model for model in gateway.models.all() if claims.models is None or model["id"] in claims.models]
    return {"object": "list", "data": allowed}


@blueprint.get("/v1/models/<path:name>")
@operation(
    "One model",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: ModelInfo},
    errors=(*COMMON_ERRORS, errors.ModelNotFound),
)
def one_model(name: str) -> dict[str, Any]:
    claims = _authenticate(scope=None)
    gateway = wiring.gateway()
    gateway.caller(claims)
    if claims.models is not None and name not in claims.models:
        raise errors.ModelNotFound()
    return gateway.models.get(name)


@blueprint.post("/v1/chat/completions")
@operation(
    "Answer a conversation, whole or streamed",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: ChatCompletion},
    errors=COMPLETION_ERRORS,
    documented_body=ChatBody,
)
def chat_completions() -> Response:
    return _complete(ChatBody, "chat.completions", "/v1/chat/completions", "chat")


@blueprint.post("/v1/completions")
@operation(
    "Continue a text, whole or streamed",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: Completion},
    errors=COMPLETION_ERRORS,
    documented_body=CompletionBody,
)
def completions() -> Response:
    return _complete(CompletionBody, "completions", "/v1/completions", "completions")


@blueprint.post("/v1/embeddings")
@operation(
    "Turn texts into vectors",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: EmbeddingList},
    errors=COMPLETION_ERRORS,
    documented_body=EmbeddingBody,
)
def embeddings() -> dict[str, Any]:
    claims, gateway = _authenticate("embeddings"), wiring.gateway()
    with gateway.welcome(claims):
        body = parse_body(EmbeddingBody)
        model = gateway.model_for(claims, body.model, "embeddings")
    g.rate_account = claims.account_id
    exchange, _ = gateway.start(
        claims,
        g.server_request_id,
        {**model, "context_window": None},  # each input may fill it
        "embeddings",
        stream=False,
        prompt_bytes=len(request.get_data(cache=True)),
        max_tokens=0,
        client_gone=connection.watch(request.environ),
    )
    return gateway.embed(exchange, body.forwarded())


def _authenticate(scope: str | None) -> Claims:
    """Who signs; whether the API token is still live is admission's to say. Errors: InvalidApiToken."""
    claims = wiring.token_verifier().verify(bearer_token(), wiring.gateway().clock() // 1_000_000_000)
    if scope is not None and scope not in claims.scopes:
        with wiring.gateway().welcome(claims):
            raise errors.InsufficientScope(f"This API token lacks the scope {scope!r}.")
    return claims


def _complete(
    model_class: type[ChatBody] | type[CompletionBody], endpoint: str, path: str, capability: str
) -> Response:
    claims, gateway = _authenticate("inference"), wiring.gateway()
    with gateway.welcome(claims):
        body = parse_body(model_class)
        model = gateway.model_for(claims, body.model, capability)
    g.rate_account = claims.account_id
    exchange, completion_tokens = gateway.start(
        claims,
        g.server_request_id,
        model,
        endpoint,
        stream=bool(body.stream),
        prompt_bytes=len(request.get_data(cache=True)),
        max_tokens=body.completion_limit,
        client_gone=connection.watch(request.environ),
    )
    forwarded = body.forwarded() | {
        "max_tokens": completion_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    stream = gateway.ask(exchange, path, forwarded)

    def keep(payloads: list[bytes]) -> None:
        if exchange.grant.store_content and payloads:
            gateway.keep_content(exchange.ask, _prompt_text(body), chunks.text_of(payloads, MAX_TEXT_BYTES))

    if body.stream:
        return streamed_answer(exchange, stream, keep, include_usage=body.include_usage)
    return whole_answer(exchange, stream, keep)


def _prompt_text(body: Sampling) -> str:
    if isinstance(body, CompletionBody):
        return str(body.prompt)
    return json.dumps([m.model_dump(exclude_none=True) for m in body.messages], ensure_ascii=False)  # type: ignore[attr-defined]


def create() -> Flask:
    """The app that gunicorn serves on AWS."""
    return create_app([blueprint], https=settings.common().https)
