"""The Responses API over the same exchange: authenticate, check the body, call the service, render."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, jsonify, request

from sluice.domain.documents.document import Passage
from sluice.domain.documents.retrieval import Sources
from sluice.domain.errors import InvalidModelRequest, SluiceError
from sluice.domain.gateway import images
from sluice.domain.gateway.response_items import Message, messages_from
from sluice.domain.gateway.responses import Assembly
from sluice.domain.ids import random_id
from sluice.domain.runs import LIVE, Run
from sluice.domain.tokens import Claims
from sluice.http.fields import PageQuery
from sluice.http.gateway import background
from sluice.http.gateway.bearer import asked_model, authenticate
from sluice.http.gateway.complete import Asked, answered, naming_ignored
from sluice.http.gateway.context import admitting
from sluice.http.gateway.messages import chat_bound
from sluice.http.gateway.publishable import refuse_stored
from sluice.http.gateway.responses import ResponsesDialect
from sluice.http.gateway.responses_requests import InputTokensBody, ResponseBody, RetrieveQuery
from sluice.http.gateway.stored_completions import sliced
from sluice.http.gateway.streaming import Dialect
from sluice.http.operation import parse_body, validated
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.request import ModelRequest
from sluice.wiring.gateway import answers, gateway, stored_responses


@dataclass(frozen=True)
class Draft:
    """A response before its answer. `history`: the conversation without instructions, which do not carry over. `run`:
    of a background response, what executes it."""

    claims: Claims
    body: ResponseBody
    history: list[Message]
    now_ms: int
    run: Run | None = None

    def prompt_text(self) -> str:
        return json.dumps(images.without(_chat(self.body, self.history)["messages"])[0], ensure_ascii=False)

    def request(self, model: dict[str, Any]) -> ModelRequest:
        body, chat = self.body, _chat(self.body, self.history)
        stream, most = bool(body.stream), body.max_output_tokens
        return ModelRequest(self.claims, model, "responses", chat, chat_bound(chat), most, stream, body.grounding)

    def dialect(self, answer: Answer) -> ResponsesDialect:
        """Errors: StoreUnavailable (of a response that is to be stored)."""
        return ResponsesDialect(self.assembly(answer.sources), self.store)

    def refused(self, error: SluiceError) -> bytes:
        """The events of a response that the model has not begun. It is not stored, so its id is none of the stored."""
        return ResponsesDialect(self.empty(random_id("resp_")), lambda done: None).failed(error)

    def empty(self, response_id: str) -> Assembly:
        run = self.run
        if run is None:
            return Assembly(response_id, self.now_ms // 1000, self.body.echoed())
        return Assembly(run.response_id, run.created_ms // 1000, self.body.echoed(), run.first_event)

    def assembly(self, sources: Sources | None) -> Assembly:
        stores_new = self.body.stored and self.run is None
        new_id = stored_responses().new_id(self.claims.account_id) if stores_new else random_id("resp_")
        assembly = self.empty(new_id)
        if sources is None:
            return assembly
        cited = [(passage.file_id, passage.filename) for passage in sources.given]
        return assembly.searched(sources.query, _results(sources.found) if self.body.shows_results else None, cited)

    def store(self, done: Assembly) -> bool:
        """The finished response says whether it was stored."""
        if self.body.stored:
            messages = [*self.history, *done.answer_messages()]
            stored, again, keeps = stored_responses(), self.run is not None, self.run is None or self.run.keeps_events
            kept, pieces = done.kept(), done.pieces() if again or self.body.stream else None
            done.response["store"] = stored.put(
                self.claims.account_id, kept, messages, self.now_ms, pieces=pieces, again=again, keeps=keeps
            )
        return bool(done.response["store"])

    def asked(self, model: dict[str, Any], dialect: Callable[[Answer], Dialect]) -> Asked:
        texts = (self.prompt_text, self.body.ignored, self.refused, self.body.field_of)
        return Asked(self.request(model), dialect, *texts)


def respond() -> Response:
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        body = parse_body(ResponseBody)
        model, draft = drafted(claims, body)
        if body.background:
            submission = background.prepared(claims, body, draft.history)
    if body.background:
        return background.submitted(submission)
    return answered(draft.asked(model, draft.dialect))


def drafted(claims: Claims, body: ResponseBody) -> tuple[dict[str, Any], Draft]:
    """The model, and the response before its answer. Errors: those of the body's form that need more than the body."""
    _unstored(claims, body)
    model = asked_model(claims, body, "chat")
    answers().check_grounding(claims, body.grounding)
    now_ms = gateway().now_ms()
    draft = Draft(claims, body, _history(claims, body, model, now_ms), now_ms)
    if body.stored and not body.background:
        stored_responses().check_size(body.echoed(), draft.history)
    return model, draft


def _unstored(claims: Claims, body: ResponseBody) -> None:
    """What a publishable API token asks is not stored. Errors: Forbidden, where it says that it wants that."""
    _refuse_stored(claims, body, body.store, body.background)
    if claims.publishable:
        body.store = False


def _refuse_stored(claims: Claims, body: InputTokensBody, *more: object) -> None:
    items = body.input if isinstance(body.input, list) else []
    refers = any(item.type == "item_reference" for item in items)
    refuse_stored(claims, body.previous_response_id, body.grounding, refers, *more)


def _history(claims: Claims, body: InputTokensBody, model: dict[str, Any], now_ms: int) -> list[Message]:
    """Errors: ValidationFailed (images that the model cannot have), NotFound (no such previous response or item),
    InvalidModelRequest (too many references), StoreUnavailable."""
    images.check(model, body.images)
    stored, items = stored_responses(), body.input_items()
    history = messages_from(items if isinstance(items, str) else stored.referred(claims.account_id, items, now_ms))
    if body.previous_response_id:
        previous = stored.get(claims.account_id, body.previous_response_id, now_ms)
        if previous.response.get("status") in LIVE:
            raise InvalidModelRequest("The previous response has not ended yet.", "previous_response_id")
        history = [*previous.messages, *history]
    images.check_earlier(model, history, searched=body.grounding is not None, param="input")
    return history


def _chat(body: InputTokensBody, history: list[Message]) -> dict[str, Any]:
    """The chat request. Without any input it has an empty question, because a model needs one to answer."""
    instructions = [{"role": "system", "content": body.instructions}] if body.instructions else []
    return {**body.forwarded(), "messages": [*instructions, *(history or [{"role": "user", "content": ""}])]}


def input_tokens() -> Response:
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        body = parse_body(InputTokensBody)
        _refuse_stored(claims, body)
        model = asked_model(claims, body, "chat")
        chat = _chat(body, _history(claims, body, model, gateway().now_ms()))
    count = gateway().count_tokens(claims, "responses.input_tokens", chat, admitting(claims))
    return naming_ignored(jsonify(object="response.input_tokens", input_tokens=count), body.ignored)


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


def retrieve(response_id: str) -> Response:
    claims = authenticate("inference")
    with gateway().authentication_first(claims):
        query = validated(RetrieveQuery, request.args.to_dict())
    gateway().check_caller(claims)
    return background.retrieved(claims, response_id, query)


def input_items(response_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    with gateway().authentication_first(claims):
        query = validated(PageQuery, request.args.to_dict())
    gateway().check_caller(claims)
    items = stored_responses().input_items(claims.account_id, response_id, gateway().now_ms())
    return sliced(items, query)


def delete_response(response_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    gateway().check_caller(claims)
    background.stop(claims.account_id, response_id)
    stored_responses().delete(claims.account_id, response_id, gateway().now_ms())
    return {"id": response_id, "object": "response", "deleted": True}
