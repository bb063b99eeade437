"""The OpenAI-compatible gateway. One conditional write admits each request; it is settled before the last byte.

On AWS it runs under gunicorn and the Lambda Web Adapter, so that answers stream (`app:app` is built by `create`).
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response

from sluice import settings
from sluice.domain import errors
from sluice.http import health, logging, metrics, tracing
from sluice.http.app import create_app
from sluice.http.chats.requests import MessageBody
from sluice.http.gateway import blueprint as v1
from sluice.http.gateway import complete as flow
from sluice.http.gateway import respond
from sluice.http.gateway.answers import ChatCompletion, Completion, EmbeddingList, ModelCollection, ModelInfo
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.responses_answers import DeletedResponse, ResponseObject
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.operation import Auth, operation
from sluice.pages.chats import answering
from sluice.wiring import peers
from sluice.wiring.gateway import gateway

if TYPE_CHECKING:
    from sluice.http.auth import Caller

blueprint = Blueprint("gateway", __name__)
v1.install(blueprint)
blueprint.register_blueprint(answering.blueprint)
documented = partial(operation, tag="Gateway", auth=Auth.API_TOKEN)
COMPLETION_ERRORS = (
    errors.InvalidModelRequest,
    errors.ContextLengthExceeded,
    errors.UnsupportedSchema,
    errors.ModelNotFound,
    errors.RateLimitExceeded,
    errors.QuotaExceeded,
    errors.TooManyConcurrentRequests,
    errors.ModelUnavailable,
    errors.Overloaded,
    errors.UpstreamTimeout,
)
GROUNDED_ERRORS = (*COMPLETION_ERRORS, errors.NotFound, errors.SearchUnavailable)


@blueprint.get("/healthz")
@operation("Whether everything answers", tag="Operation", answers={200: health.Health, 503: health.Unhealthy})
def healthz() -> tuple[health.Health, int]:
    return health.check()


@blueprint.get("/v1/models")
@documented("The models this API token may use", answers={200: ModelCollection})
def list_models() -> dict[str, Any]:
    claims = authenticate(scope=None)
    gateway().check_caller(claims)
    return {"object": "list", "data": gateway().permitted_models(claims)}


@blueprint.get("/v1/models/<path:name>")
@documented("One model", answers={200: ModelInfo}, errors=(errors.ModelNotFound,))
def one_model(name: str) -> dict[str, Any]:
    claims = authenticate(scope=None)
    gateway().check_caller(claims)
    return gateway().permitted_model(claims, name)


@blueprint.post("/v1/chat/completions")
@documented(
    "Answer a conversation, whole or streamed",
    documented_body=ChatBody,
    answers={200: ChatCompletion},
    errors=GROUNDED_ERRORS,
)
def chat_completions() -> Response:
    return flow.complete(ChatBody, "chat.completions", "/v1/chat/completions", "chat")


@blueprint.post("/v1/completions")
@documented(
    "Continue a text, whole or streamed",
    documented_body=CompletionBody,
    answers={200: Completion},
    errors=COMPLETION_ERRORS,
)
def completions() -> Response:
    return flow.complete(CompletionBody, "completions", "/v1/completions", "completions")


@blueprint.post("/v1/embeddings")
@documented(
    "Turn texts into vectors", documented_body=EmbeddingBody, answers={200: EmbeddingList}, errors=COMPLETION_ERRORS
)
def embeddings() -> dict[str, Any]:
    return flow.embed()


@blueprint.post("/v1/responses")
@documented(
    "Make a response, whole or as a stream of events",
    documented_body=ResponseBody,
    answers={200: ResponseObject},
    errors=GROUNDED_ERRORS,
)
def create_response() -> Response:
    return respond.respond()


@blueprint.post("/chats/<chat_id>/messages")
@operation(
    "Send a message to a chat, and stream the answer",
    tag="Chats",
    auth=Auth.SESSION,
    answers={200: "text/event-stream"},
    errors=(*COMPLETION_ERRORS, errors.InvalidApiToken, errors.NotFound, errors.LimitReached),
)
def answer_in_chat(caller: "Caller", chat_id: str, body: MessageBody) -> Response:
    from sluice.http.chats.answer import answer_message

    return answer_message(caller, chat_id, body)


@blueprint.get("/v1/responses/<response_id>")
@documented("A stored response", answers={200: ResponseObject}, errors=(errors.NotFound,))
def get_response(response_id: str) -> dict[str, Any]:
    return respond.stored_response(response_id)


@blueprint.delete("/v1/responses/<response_id>")
@documented("Delete a stored response", answers={200: DeletedResponse}, errors=(errors.NotFound,))
def delete_response(response_id: str) -> dict[str, Any]:
    return respond.delete_response(response_id)


def create() -> Flask:
    """The app that gunicorn serves on AWS."""
    logging.configure()
    app = create_app([blueprint], https=settings.common().https)
    metrics.install(app, peers.metrics())
    tracing.install(app, peers.tracing())
    return app
