"""The Responses API over the same engine: authenticate, check the body, call the service, render."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response

from sluice.domain.documents.document import Passage
from sluice.domain.documents.retrieval import Sources
from sluice.domain.errors import InvalidModelRequest
from sluice.domain.gateway.response_items import Message, messages_from
from sluice.domain.gateway.responses import Assembly
from sluice.domain.ids import random_id
from sluice.domain.tokens import Claims
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.context import admitting
from sluice.http.gateway.messages import bound
from sluice.http.gateway.responses import ResponsesDialect, whole_response
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.gateway.streaming import collect, streamed_answer
from sluice.http.operation import parse_body
from sluice.services.gateway.answer import LogKeeper
from sluice.services.gateway.request import ModelRequest
from sluice.wiring.gateway import answers, gateway, stored_responses


@dataclass(frozen=True)
class _Draft:
    """A response before its answer. `history`: the conversation without instructions, which do not carry over."""

    claims: Claims
    body: ResponseBody
    history: list[Message]
    now_ms: int

    @property
    def messages(self) -> list[Message]:
        instructions = self.body.instructions
        return [*([{"role": "system", "content": instructions}] if instructions else []), *self.history]

    def prompt_text(self) -> str:
        return json.dumps(self.messages, ensure_ascii=False)

    def request(self, model: dict[str, Any]) -> ModelRequest:
        body, messages = self.body, self.messages
        prompt_bound = bound(json.dumps(m, ensure_ascii=False) for m in messages) + body.tools_bound()
        return ModelRequest(
            self.claims,
            model,
            "responses",
            {**body.forwarded(), "messages": messages},
            prompt_bound,
            body.max_output_tokens,
            bool(body.stream),
            body.grounding,
        )

    def assembly(self, sources: Sources | None) -> Assembly:
        """Errors: StoreUnavailable (of a response that is to be stored)."""
        new_id = stored_responses().new_id(self.claims.account_id) if self.body.stored else random_id("resp_")
        assembly = Assembly(new_id, self.now_ms // 1000, self.body.echoed())
        if sources is None:
            return assembly
        cited = [(passage.file_id, passage.filename) for passage in sources.given]
        return assembly.searched(sources.query, _results(sources.found) if self.body.shows_results else None, cited)

    def store(self, done: Assembly) -> None:
        """The finished response says whether it was stored."""
        if self.body.stored:
            messages = [*self.history, *done.answer_messages()]
            done.response["store"] = stored_responses().put(self.claims.account_id, done.kept(), messages, self.now_ms)


def respond() -> Response:
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        body = parse_body(ResponseBody)
        model = gateway().model_for(claims, body.model, "chat")
        answers().check_grounding(claims, body.grounding)
        draft = _draft(claims, body)
    try:
        answer = answers().start(draft.request(model), admitting(claims))
    except InvalidModelRequest as error:
        error.param = body.field_of(error.param)
        raise
    try:
        assembly = draft.assembly(answer.sources)
    except BaseException as exc:
        answer.exchange.fail(exc)
        raise
    keeper = LogKeeper(gateway(), answer.exchange, draft.prompt_text)
    if body.stream:
        return streamed_answer(answer.exchange, answer.events, keeper, ResponsesDialect(assembly, draft.store))
    response = whole_response(assembly, collect(answer.exchange, answer.events, keeper))
    draft.store(assembly)
    return Response(json.dumps(response, ensure_ascii=False), mimetype="application/json")


def _draft(claims: Claims, body: ResponseBody) -> _Draft:
    """Errors: NotFound (no such previous response), InvalidModelRequest (too long to be stored), StoreUnavailable."""
    stored, now_ms = stored_responses(), gateway().now_ms()
    history = messages_from(body.input_items())
    if body.previous_response_id:
        history = [*stored.get(claims.account_id, body.previous_response_id, now_ms).messages, *history]
    if body.stored:
        stored.check_size(body.echoed(), history)
    return _Draft(claims, body, history, now_ms)


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
    claims = authenticate("inference")
    gateway().check_caller(claims)
    return stored_responses().get(claims.account_id, response_id, gateway().now_ms()).response


def delete_response(response_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    gateway().check_caller(claims)
    stored_responses().delete(claims.account_id, response_id, gateway().now_ms())
    return {"id": response_id, "object": "response", "deleted": True}
