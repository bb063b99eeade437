"""The endpoints."""

import re
import time
import uuid
from collections.abc import Sequence

from flask import Blueprint, Response, current_app, jsonify, request

from functions.inference.engine.jobs import Job
from functions.inference.errors import UnknownModel
from functions.inference.models.loading import ChatModel
from functions.inference.openai.requests import ChatRequest, CompletionRequest, SamplingFields, TokenizeRequest, parse
from functions.inference.openai.responses import ChatShape, CompletionShape, ResponseHead, ResponseShape
from functions.inference.tools.responses import ToolChatShape
from functions.inference.web import answer, embedding_view, job_builder
from functions.inference.web.choices import Choices
from functions.inference.web.disconnect import Caller
from functions.inference.web.service import InferenceService

blueprint = Blueprint("inference", __name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def service() -> InferenceService:
    """The app's InferenceService."""
    found: InferenceService = current_app.extensions["inference"]
    return found


@blueprint.post("/v1/chat/completions")
def chat_completions() -> Response:
    body = parse(ChatRequest, request.get_data())
    model = service().chat_model(body.model)
    tries = 2 if request.headers.get("x-sluice-tries") == "2" or not body.stream else 1
    jobs = job_builder.chat_jobs(body, model, service().settings.default_max_tokens, tries)
    head = _head("chatcmpl-", model)
    return _respond(body, model, jobs, [_chat_shape(body, model, job, head, index) for index, job in enumerate(jobs)])


def _chat_shape(body: ChatRequest, model: ChatModel, job: Job, head: ResponseHead, index: int) -> ChatShape:
    parser = job_builder.parser_of(body, model, job)
    if parser is None:
        return ChatShape(head, bool(body.logprobs), index)
    return ToolChatShape(head, bool(body.logprobs), index, parser)


@blueprint.post("/v1/completions")
def completions() -> Response:
    body = parse(CompletionRequest, request.get_data())
    model = service().chat_model(body.model, "completions")
    jobs = job_builder.completion_jobs(body, model, service().settings.default_max_tokens)
    head, with_logprobs = _head("cmpl-", model), body.logprobs is not None
    echoes = [
        b"".join(map(model.vocab.piece, job.prompt)).decode(errors="replace") if body.echo and not job.scores else ""
        for job in jobs
    ]
    return _respond(
        body, model, jobs, [CompletionShape(head, with_logprobs, index, echo) for index, echo in enumerate(echoes)]
    )


@blueprint.post("/v1/embeddings")
def embeddings() -> Response:
    return embedding_view.embeddings(service())


@blueprint.post("/tokenize")
def tokenize() -> Response:
    """Internal: counts prompt tokens exactly, for calls that only count."""
    body = parse(TokenizeRequest, request.get_data())
    if body.texts:
        return embedding_view.token_counts(service(), body)
    model = service().chat_model(body.model, "chat" if body.messages else "completions")
    if body.messages:
        tokens = list(model.prompts.encode(job_builder.chat_prompt(body, model)))
    else:
        tokens = model.vocab.tokenize(body.text)
    return jsonify({"model": body.model, "tokens": tokens, "count": len(tokens)})


@blueprint.get("/v1/models")
def models() -> Response:
    return jsonify({"object": "list", "data": service().model_list()})


@blueprint.get("/v1/models/<path:name>")
def model(name: str) -> Response:
    found = next((entry for entry in service().model_list() if entry["id"] == name), None)
    if found is None:
        raise UnknownModel(name)
    return jsonify(found)


@blueprint.get("/healthz")
def healthz() -> tuple[Response, int]:
    state = service().state
    if state != "ready":
        return jsonify({"status": state}), 503
    return jsonify({"status": "ready"} | service().report()), 200


def _respond(body: SamplingFields, model: ChatModel, jobs: Sequence[Job], shapes: Sequence[ResponseShape]) -> Response:
    settings = service().settings
    caller = Caller(request.environ, settings.write_timeout_ms / 1000)
    deadline_s = job_builder.deadline_s(request.headers.get("x-sluice-deadline-ms"), settings.request_timeout_ms)
    for job in jobs:
        job.account, job.deadline_s = request.headers.get("x-sluice-account", "")[:128], deadline_s
    choices = Choices(jobs, shapes, body.n or 1, model.engine.submit)
    if (begin := current_app.extensions["tracing"]) is not None and (above := request.headers.get("traceparent")):
        for job in jobs:
            job.watch = begin(above, job)
    if not body.stream:
        return jsonify(answer.whole(choices, caller))
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    response = Response(answer.stream(choices, caller, include_usage), mimetype="text/event-stream")
    response.call_on_close(choices.cancel)  # needed when the generator never starts: its `finally` does not run then
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _head(prefix: str, model: ChatModel) -> ResponseHead:
    given = request.headers.get("x-request-id", "")
    name = given.removeprefix("req_") if REQUEST_ID.match(given) else uuid.uuid4().hex
    return ResponseHead(prefix + name, int(time.time()), model.entry.name)
