"""The endpoints."""

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from flask import Blueprint, Response, current_app, jsonify, request

from functions.inference.engine.jobs import Job
from functions.inference.errors import UnknownModel
from functions.inference.models.catalogue import Capability
from functions.inference.models.loading import ChatModel, Loaded
from functions.inference.openai.requests import ChatRequest, CompletionRequest, SamplingFields, TokenizeRequest, parse
from functions.inference.openai.responses import ChatShape, CompletionShape, ResponseHead, ResponseShape
from functions.inference.tools.responses import ToolChatShape
from functions.inference.web import answer, embedding_view, job_builder
from functions.inference.web.choices import Choices
from functions.inference.web.claim import Claim, model_in_silence, stream
from functions.inference.web.disconnect import Caller
from functions.inference.web.service import InferenceService

blueprint = Blueprint("inference", __name__)
SOON_S = 2.0
Begun = tuple[Sequence[Job], Sequence[ResponseShape]]
"""The jobs of an answer and the shapes that write them."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def service() -> InferenceService:
    """The app's InferenceService."""
    found: InferenceService = current_app.extensions["inference"]
    return found


@blueprint.post("/v1/chat/completions")
def chat_completions() -> Response:
    body = parse(ChatRequest, request.get_data())
    default, head = service().settings.default_max_tokens, _head("chatcmpl-")
    tries = 2 if request.headers.get("x-sluice-tries") == "2" or not body.stream else 1

    def begun(model: ChatModel) -> Begun:
        jobs = job_builder.chat_jobs(body, model, default, tries)
        named = replace(head, model=model.entry.name)
        return jobs, [_chat_shape(body, model, job, named, index) for index, job in enumerate(jobs)]

    return _respond(body, "chat", begun)


def _chat_shape(body: ChatRequest, model: ChatModel, job: Job, head: ResponseHead, index: int) -> ChatShape:
    parser = job_builder.parser_of(body, model, job)
    if parser is None:
        return ChatShape(head, bool(body.logprobs), index)
    return ToolChatShape(head, bool(body.logprobs), index, parser)


@blueprint.post("/v1/completions")
def completions() -> Response:
    body = parse(CompletionRequest, request.get_data())
    default, head = service().settings.default_max_tokens, _head("cmpl-")

    def begun(model: ChatModel) -> Begun:
        jobs = job_builder.completion_jobs(body, model, default)
        named, with_logprobs = replace(head, model=model.entry.name), body.logprobs is not None
        echoes = [_echo(model, job) if body.echo and not job.scores else "" for job in jobs]
        return jobs, [CompletionShape(named, with_logprobs, index, echo) for index, echo in enumerate(echoes)]

    return _respond(body, "completions", begun)


def _echo(model: ChatModel, job: Job) -> str:
    return b"".join(map(model.vocab.piece, job.prompt)).decode(errors="replace")


@blueprint.post("/v1/embeddings")
def embeddings() -> Response:
    return embedding_view.embeddings(service())


@blueprint.post("/tokenize")
def tokenize() -> Response:
    """Internal: counts prompt tokens exactly, for calls that only count."""
    body = parse(TokenizeRequest, request.get_data())
    if body.texts:
        return embedding_view.token_counts(service(), body)
    use = service().chat(body.model, "chat" if body.messages else "completions", _account())
    with model_in_silence(use, job_builder.deadline_of(request.headers, service().settings)) as model:
        assert isinstance(model, ChatModel)
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


def _respond(body: SamplingFields, capability: Capability, begun: Callable[[ChatModel], Begun]) -> Response:
    settings = service().settings
    deadline_s, account = job_builder.deadline_of(request.headers, settings), _account()
    low = job_builder.is_low(request.headers)
    caller = Caller(request.environ, settings.write_timeout_ms / 1000)
    tracing, above = current_app.extensions["tracing"], request.headers.get("traceparent")

    def begin(model: Loaded) -> Choices:
        assert isinstance(model, ChatModel)
        jobs, shapes = begun(model)
        for job in jobs:
            job.account, job.low, job.deadline_s = account, low, deadline_s
        choices = Choices(jobs, shapes, body.n or 1, model.engine.submit)
        if tracing is not None and above:
            for job in jobs:
                job.watch = tracing(above, job)
        return choices

    claim = Claim(service().chat(body.model, capability, account, low=low), begin, caller, deadline_s)
    try:
        if not body.stream:
            return _whole(claim)
        claim.choices(SOON_S)  # what is wrong with the request is a status, unless the model takes longer
    except BaseException:
        claim.end()
        raise
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    response = Response(stream(claim, include_usage), mimetype="text/event-stream")
    response.call_on_close(claim.end)  # also when the generator never starts
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _whole(claim: Claim) -> Response:
    *_, choices = claim.awaited()
    assert choices is not None
    body = jsonify(answer.whole(choices, claim.caller))
    claim.end()
    return body


def _account() -> str:
    return request.headers.get("x-sluice-account", "")[:128]


def _head(prefix: str) -> ResponseHead:
    given = request.headers.get("x-request-id", "")
    name = given.removeprefix("req_") if REQUEST_ID.match(given) else uuid.uuid4().hex
    return ResponseHead(prefix + name, int(time.time()), "")
