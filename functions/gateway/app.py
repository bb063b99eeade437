"""The OpenAI-compatible gateway. One conditional write admits each request; it is settled before the last byte.

On AWS it runs under gunicorn and the Lambda Web Adapter, so that answers stream (`app:app` is built by `create`).
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, request

from sluice import settings
from sluice.domain import errors
from sluice.http import health, logging, metrics, tracing
from sluice.http.app import create_app
from sluice.http.chats.requests import FollowQuery, MessageBody
from sluice.http.fields import PageQuery
from sluice.http.gateway import anthropic, background, batches, key, rerank, respond
from sluice.http.gateway import blueprint as v1
from sluice.http.gateway import complete as flow
from sluice.http.gateway import stored_completions as stored
from sluice.http.gateway.answers import (
    ChatCompletion,
    Completion,
    DeletedCompletion,
    EmbeddingList,
    ModelCollection,
    ModelInfo,
    StoredCompletion,
    StoredCompletions,
    StoredMessages,
)
from sluice.http.gateway.anthropic_answers import AnthropicMessage, TokenCount
from sluice.http.gateway.anthropic_requests import CountTokensBody, MessagesBody
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.context import speaks_anthropic
from sluice.http.gateway.key import KeyInfo
from sluice.http.gateway.repeats import once
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.rerank import Ranking, RerankBody
from sluice.http.gateway.responses_answers import DeletedResponse, InputItems, InputTokens, ResponseObject
from sluice.http.gateway.responses_requests import InputTokensBody, ResponseBody, RetrieveQuery
from sluice.http.gateway.run_models import AnyBody, Inference, InferenceBody, ModelMetadata, ModelReadiness
from sluice.http.operation import Auth, operation
from sluice.pages import runs
from sluice.pages.chats import answering
from sluice.ports.gateway import INFER_PATH, METADATA_PATH, READY_PATH, RUN_PATH
from sluice.wiring import peers
from sluice.wiring.gateway import gateway

if TYPE_CHECKING:
    from sluice.http.auth import Caller

blueprint = Blueprint("gateway", __name__)
v1.install(blueprint)
blueprint.register_blueprint(answering.blueprint)
blueprint.register_blueprint(runs.blueprint)
documented = partial(operation, tag="Gateway", auth=Auth.API_TOKEN)
COMPLETION_ERRORS = (
    errors.InvalidModelRequest,
    errors.ContextLengthExceeded,
    errors.UnsupportedSchema,
    errors.ModelNotFound,
    errors.RateLimitExceeded,
    errors.QuotaExceeded,
    errors.TooManyConcurrentRequests,
    errors.SchemaNotMet,
    errors.ModelUnavailable,
    errors.Overloaded,
    errors.UpstreamTimeout,
)
WAITS = (
    "With the header `Prefer: wait=N` (seconds, up to 60) the request waits for its turn instead of being refused "
    "with `too_many_concurrent_requests` or `overloaded`. Then `x-sluice-queue-place` and `x-sluice-queue-seconds` "
    "tell its place and the predicted wait, and a stream begins with comments: `: queue 3 of 9, about 12 s`."
)
BOTH_FORMS = "In Anthropic's form where the request carries `anthropic-version`."
RUN_ERRORS = (
    errors.InvalidModelRequest,
    errors.ModelNotFound,
    errors.RequestTooLarge,
    errors.RateLimitExceeded,
    errors.QuotaExceeded,
    errors.InsufficientBudget,
    errors.TooManyConcurrentRequests,
    errors.ModelUnavailable,
    errors.Overloaded,
    errors.UpstreamTimeout,
)
OIP = "The Open Inference Protocol (KServe, MLServer, Triton), for models whose server speaks it."
GROUNDED_ERRORS = (*COMPLETION_ERRORS, errors.NotFound, errors.SearchUnavailable)


@blueprint.get("/healthz")
@operation("Whether everything answers", tag="Operation", answers={200: health.Health, 503: health.Unhealthy})
def healthz() -> tuple[health.Health, int]:
    return health.check()


@blueprint.get("/v1/models")
@documented("The models this API token may use", answers={200: ModelCollection}, description=BOTH_FORMS)
def list_models() -> dict[str, Any]:
    claims = authenticate(scope=None)
    gateway().check_caller(claims)
    models = gateway().permitted_models(claims)
    return anthropic.models_page(models) if speaks_anthropic() else {"object": "list", "data": models}


@blueprint.get("/v1/models/<path:name>")
@documented("One model", answers={200: ModelInfo}, errors=(errors.ModelNotFound,), description=BOTH_FORMS)
def one_model(name: str) -> dict[str, Any]:
    claims = authenticate(scope=None)
    gateway().check_caller(claims)
    model = gateway().permitted_model(claims, name)
    return anthropic.model_info(model) if speaks_anthropic() else model


@blueprint.delete("/v1/models/<path:name>")
@documented("Refused: a model is its server's", answers={204: None}, errors=(errors.ModelNotFound, errors.Forbidden))
def delete_model(name: str) -> None:
    claims = authenticate(scope=None)
    gateway().check_caller(claims)
    gateway().permitted_model(claims, name)
    raise errors.Forbidden("Models cannot be deleted by API: their server has them.")


@blueprint.get("/v1/key")
@documented("What this API token may do, and what is left to it")
def describe_key() -> KeyInfo:
    return key.describe()


@blueprint.post("/v1/chat/completions")
@documented(
    "Answer a conversation, whole or streamed",
    documented_body=ChatBody,
    answers={200: ChatCompletion},
    errors=GROUNDED_ERRORS,
    description=WAITS,
    keyed=once,
)
def chat_completions() -> Response:
    return flow.complete(ChatBody, "chat.completions", "/v1/chat/completions", "chat")


@blueprint.get("/v1/chat/completions")
@documented(
    "The stored chat completions",
    documented_query=stored.StoredQuery,
    answers={200: StoredCompletions},
    errors=(errors.InvalidModelRequest,),
)
def list_completions() -> dict[str, Any]:
    return stored.list_completions()


@blueprint.get("/v1/chat/completions/<completion_id>")
@documented("A stored chat completion", answers={200: StoredCompletion}, errors=(errors.NotFound,))
def get_completion(completion_id: str) -> dict[str, Any]:
    return stored.completion(completion_id)


@blueprint.post("/v1/chat/completions/<completion_id>")
@documented(
    "Change the metadata of a stored chat completion",
    documented_body=stored.MetadataBody,
    answers={200: StoredCompletion},
    errors=(errors.NotFound,),
)
def set_completion_metadata(completion_id: str) -> dict[str, Any]:
    return stored.set_metadata(completion_id)


@blueprint.delete("/v1/chat/completions/<completion_id>")
@documented("Delete a stored chat completion", answers={200: DeletedCompletion}, errors=(errors.NotFound,))
def delete_completion(completion_id: str) -> dict[str, Any]:
    return stored.delete_completion(completion_id)


@blueprint.get("/v1/chat/completions/<completion_id>/messages")
@documented(
    "The messages that a stored chat completion answers",
    documented_query=stored.MessagesQuery,
    answers={200: StoredMessages},
    errors=(errors.NotFound,),
)
def list_completion_messages(completion_id: str) -> dict[str, Any]:
    return stored.list_messages(completion_id)


@blueprint.post("/v1/completions")
@documented(
    "Continue a text, whole or streamed",
    documented_body=CompletionBody,
    answers={200: Completion},
    errors=COMPLETION_ERRORS,
    description=WAITS,
    keyed=once,
)
def completions() -> Response:
    return flow.complete(CompletionBody, "completions", "/v1/completions", "completions")


@blueprint.post("/v1/embeddings")
@documented(
    "Turn texts into vectors",
    documented_body=EmbeddingBody,
    answers={200: EmbeddingList},
    errors=COMPLETION_ERRORS,
    description=WAITS,
    keyed=once,
)
def embeddings() -> dict[str, Any]:
    return flow.embed()


@blueprint.post("/v1/rerank")
@documented(
    "Order texts by how well they answer a question",
    documented_body=RerankBody,
    answers={200: Ranking},
    errors=COMPLETION_ERRORS,
    description=WAITS,
    keyed=once,
)
def rerank_documents() -> dict[str, Any]:
    return rerank.rerank()


@blueprint.post("/v1/responses")
@documented(
    "Make a response, whole or as a stream of events",
    documented_body=ResponseBody,
    answers={200: ResponseObject},
    errors=GROUNDED_ERRORS,
    description=WAITS,
    keyed=once,
)
def create_response() -> Response:
    return respond.respond()


@blueprint.post("/v1/responses/input_tokens")
@documented(
    "Count the tokens of a response's input",
    documented_body=InputTokensBody,
    answers={200: InputTokens},
    errors=(*COMPLETION_ERRORS, errors.NotFound),
    keyed=once,
)
def count_input_tokens() -> Response:
    return respond.input_tokens()


@blueprint.get("/v1/responses/<response_id>/input_items")
@documented(
    "What a stored response was made from",
    documented_query=PageQuery,
    answers={200: InputItems},
    errors=(errors.NotFound,),
)
def list_input_items(response_id: str) -> dict[str, Any]:
    return respond.input_items(response_id)


@blueprint.post("/v1/messages")
@documented(
    "Answer a conversation in Anthropic's form, whole or as a stream of events",
    documented_body=MessagesBody,
    answers={200: AnthropicMessage},
    errors=COMPLETION_ERRORS,
    description=WAITS,
    keyed=once,
)
def create_message() -> Response:
    return anthropic.messages()


@blueprint.post("/v1/messages/count_tokens")
@documented(
    "Count the tokens of a conversation in Anthropic's form",
    documented_body=CountTokensBody,
    answers={200: TokenCount},
    errors=COMPLETION_ERRORS,
    keyed=once,
)
def count_message_tokens() -> dict[str, Any]:
    return anthropic.count_tokens()


@blueprint.post("/v1/batches")
@documented(
    "Make a batch of requests, which are answered within a day",
    documented_body=batches.CreateBatchBody,
    errors=(errors.InvalidModelRequest, errors.RateLimitExceeded, errors.LimitReached, errors.StorageFull),
    description="Its rows are executed when there is room. They count against no limit of a minute, and have as many "
    "places of their own as the account has for other requests at once.",
    keyed=once,
)
def create_batch() -> batches.BatchObject:
    return batches.create()


@blueprint.get("/v1/batches")
@documented("One's batches, newest first", documented_query=batches.BatchesQuery)
def list_batches() -> batches.BatchListing:
    return batches.listed(request.args.to_dict())


@blueprint.get("/v1/batches/<batch_id>")
@documented("How far a batch is", errors=(errors.NotFound,))
def get_batch(batch_id: str) -> batches.BatchObject:
    return batches.one(batch_id)


@blueprint.post("/v1/batches/<batch_id>/cancel")
@documented("Cancel a batch", errors=(errors.NotFound, errors.Conflict))
def cancel_batch(batch_id: str) -> batches.BatchObject:
    return batches.cancelled(batch_id)


@blueprint.post("/v1/run/<path:model>")
@documented(
    "Send any body to a model that need not be a language model",
    documented_body=AnyBody,
    answers={200: "*/*"},
    errors=RUN_ERRORS,
    description="Passed on with its `Content-Type`, 4 MiB at most, and the answer is passed back as it comes.",
    keyed=once,
)
def run_model(model: str) -> Response:
    from sluice.http.gateway.run import run

    return run(model, "run", RUN_PATH)


@blueprint.get("/v2/models/<name>")
@documented("A model's inputs and outputs", description=OIP, answers={200: ModelMetadata}, errors=RUN_ERRORS)
def model_metadata(name: str) -> Response:
    from sluice.http.gateway.run import described

    return described(name, METADATA_PATH)


@blueprint.get("/v2/models/<name>/ready")
@documented("Whether a model is ready", description=OIP, answers={200: ModelReadiness}, errors=RUN_ERRORS)
def model_ready(name: str) -> Response:
    from sluice.http.gateway.run import described

    return described(name, READY_PATH)


@blueprint.post("/v2/models/<name>/infer")
@documented(
    "Infer with a model",
    documented_body=InferenceBody,
    description=OIP,
    answers={200: Inference},
    errors=RUN_ERRORS,
    keyed=once,
)
def infer(name: str) -> Response:
    from sluice.http.gateway.run import run

    return run(name, "infer", INFER_PATH)


@blueprint.post("/chats/<chat_id>/messages")
@operation(
    "Send a message to a chat, and stream the answer",
    tag="Chats",
    auth=Auth.SESSION,
    answers={200: "text/event-stream"},
    errors=(*COMPLETION_ERRORS, errors.InvalidApiToken, errors.NotFound, errors.LimitReached, errors.Conflict),
    description="The answer goes on when the connection ends. A chat has one running answer: another message is "
    "refused with `conflict`.",
)
def answer_in_chat(caller: "Caller", chat_id: str, body: MessageBody) -> Response:
    from sluice.http.chats.answer import answer_message

    return answer_message(caller, chat_id, body)


@blueprint.get("/chats/<chat_id>/answer")
@operation(
    "Follow the answer that is running in a chat",
    tag="Chats",
    auth=Auth.SESSION,
    answers={200: "text/event-stream"},
    errors=(errors.NotFound,),
    description="Events as of the message, after the one whose `id` is `starting_after`. An `attempt` that changes "
    "begins the answer anew. `[DONE]` says that it is over: the chat has what came of it.",
)
def follow_answer(caller: "Caller", chat_id: str, query: FollowQuery) -> Response:
    from sluice.http.chats.running import followed

    return followed(caller, chat_id, query.starting_after)


@blueprint.post("/chats/<chat_id>/answer/cancel")
@operation("Stop the answer that is running in a chat", tag="Chats", auth=Auth.SESSION, errors=(errors.NotFound,))
def stop_answer(caller: "Caller", chat_id: str) -> None:
    from sluice.http.chats.running import stop

    stop(caller, chat_id)


@blueprint.get("/v1/responses/<response_id>")
@documented(
    "A stored response, or its events",
    documented_query=RetrieveQuery,
    answers={200: ResponseObject},
    errors=(errors.NotFound, errors.TooManyConcurrentRequests),
)
def get_response(response_id: str) -> Response:
    return respond.retrieve(response_id)


@blueprint.post("/v1/responses/<response_id>/cancel")
@documented(
    "Cancel a background response",
    answers={200: ResponseObject},
    errors=(errors.NotFound, errors.InvalidModelRequest),
)
def cancel_response(response_id: str) -> dict[str, Any]:
    return background.cancelled(response_id)


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
