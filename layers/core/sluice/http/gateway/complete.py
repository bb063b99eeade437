"""Completions, chat completions and embeddings; and the one exchange that every dialect of `/v1` uses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import Response

from sluice.domain.errors import InvalidModelRequest, SluiceError
from sluice.domain.gateway import images
from sluice.domain.tokens import Claims
from sluice.frozen import frozen
from sluice.http.gateway.bearer import asked_model, authenticate
from sluice.http.gateway.publishable import refuse_stored
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.stored_completions import check_size, keeping
from sluice.http.gateway.streaming import Begun, ChatDialect, Dialect, FunctionCallDialect, OpenAIDialect
from sluice.http.gateway.waiting import fetched, streamed, whole
from sluice.http.operation import parse_body
from sluice.services.gateway.answer import Answer, LogKeeper
from sluice.services.gateway.request import ModelRequest, RequestContext
from sluice.wiring.gateway import answers, gateway

IGNORED = "x-sluice-ignored"


@frozen
class Asked:
    """A request and the caller's dialect. `prompt`: the text for the request log. `ignored`: what was left out, such as
    types of tools, once it is answered. `refused`: the bytes that end a stream which the model has not begun.
    `field_of`: the caller's name of a field of the request to the model server."""

    request: ModelRequest
    dialect_for: Callable[[Answer], Dialect]
    prompt: Callable[[], str]
    ignored: list[str]
    refused: Callable[[SluiceError], bytes] = OpenAIDialect().failed
    field_of: Callable[[str | None], str | None] = lambda param: param

    def begin(self, context: RequestContext) -> Begun:
        """Admit, and ask the model. Errors: as `Answers.start`, and of `dialect_for`; the exchange is settled."""
        answer = answers().start(self.request, context)
        try:
            dialect = self.dialect_for(answer)
        except BaseException as exc:
            answer.exchange.fail(exc)
            raise
        return Begun(answer.exchange, answer.events, LogKeeper(gateway(), answer.exchange, self.prompt), dialect)

    def refusal(self, error: SluiceError) -> bytes:
        """As `refused`, with the caller's names."""
        return self.refused(renamed(error, self.field_of))


def answered(asked: Asked) -> Response:
    """Admit, ask the model, and answer in the caller's dialect, streamed or whole; if the caller wants to wait for it,
    when it is its turn.
    Errors: as `Asked.begin` and `Exchange.events`; the exchange is settled in any case."""
    form = streamed if asked.request.stream else whole
    with named_fields(asked.field_of):
        response = form(asked.request, asked.begin, asked.refusal)
    return naming_ignored(response, asked.ignored)


def naming_ignored(response: Response, ignored: list[str]) -> Response:
    """The response, with the tool types that were left out in `x-sluice-ignored`, each once."""
    if ignored:
        response.headers[IGNORED] = ",".join(dict.fromkeys(ignored))
    return response


def renamed(error: SluiceError, field_of: Callable[[str | None], str | None]) -> SluiceError:
    """The same error, as `named_fields` changes it."""
    with suppress(SluiceError), named_fields(field_of):
        raise error
    return error


@contextmanager
def named_fields(field_of: Callable[[str | None], str | None]) -> Iterator[None]:
    """An error names the field of the caller's request, not that of the request to the model server."""
    try:
        yield
    except InvalidModelRequest as error:
        error.param = field_of(error.param)
        raise


def drafted(
    claims: Claims,
    body: ChatBody | CompletionBody,
    endpoint: str,
    path: str,
    capability: str,
) -> Asked:
    """A completion before its answer. Errors: those of the body's form that need more than the body."""
    model = asked_model(claims, body, capability)
    images.check(model, body.images)
    refuse_stored(claims, isinstance(body, ChatBody) and body.store, body.grounding)
    answers().check_grounding(claims, body.grounding)
    check_size(body)
    ignored: list[str] = []
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

    def dialect(answer: Answer) -> Dialect:
        form = FunctionCallDialect if body.old_calls else ChatDialect
        plain = form(include_usage=body.include_usage, more=answer.own_fields)
        return keeping(answer, body, plain, ignored)

    return Asked(request, dialect, body.prompt_text, ignored, field_of=body.field_of)


def complete(model_class: type[ChatBody] | type[CompletionBody], endpoint: str, path: str, capability: str) -> Response:
    """Chat and plain completions."""
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        asked = drafted(claims, parse_body(model_class), endpoint, path, capability)
    return answered(asked)


def embed() -> dict[str, Any]:
    claims = authenticate("embeddings")
    with gateway().form_counted(claims):
        request = embedding(claims, parse_body(EmbeddingBody))
    return fetched(request)


def embedding(claims: Claims, body: EmbeddingBody) -> ModelRequest:
    """Errors: as `asked_model`."""
    model = asked_model(claims, body, "embeddings")
    return ModelRequest(
        claims, model, "embeddings", body.forwarded(), body.token_bound(), max_tokens=0, path="/v1/embeddings"
    )
