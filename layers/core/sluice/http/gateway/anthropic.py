"""Anthropic's dialect: `/v1/messages` over the same exchange, its count of tokens, and its form of the models."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response

from sluice.domain.errors import SluiceError
from sluice.domain.gateway import images
from sluice.domain.gateway.anthropic import Assembly, Event
from sluice.domain.ids import random_id
from sluice.domain.periods import rfc3339
from sluice.http.errors import anthropic_envelope
from sluice.http.gateway.anthropic_requests import CountTokensBody, MessagesBody
from sluice.http.gateway.bearer import asked_model, authenticate
from sluice.http.gateway.complete import Asked, answered
from sluice.http.gateway.context import admitting
from sluice.http.gateway.messages import chat_bound
from sluice.http.gateway.named_events import NamedEvents, encode
from sluice.http.operation import parse_body
from sluice.ports.gateway import UpstreamStream
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.request import ModelRequest
from sluice.wiring.gateway import gateway


class MessagesDialect(NamedEvents[Assembly]):
    """`stream`: its count of the prompt is known when the first chunk is."""

    silence = encode([{"type": "ping"}])

    def __init__(self, assembly: Assembly, stream: UpstreamStream) -> None:
        super().__init__(assembly)
        self._stream = stream

    def opening(self) -> list[Event]:
        return self.assembly.begin(self._stream.prompt_tokens)

    def failed(self, error: SluiceError) -> bytes:
        return _refused(error)

    def whole(self, payloads: Iterable[bytes]) -> dict[str, Any]:
        self.ending(list(payloads))
        return self.assembly.message


def _refused(error: SluiceError) -> bytes:
    return encode([anthropic_envelope(error)])


def messages() -> Response:
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        body = parse_body(MessagesBody)
        model = asked_model(claims, body, "chat")
        images.check(model, body.images)
    chat = body.chat()
    request = ModelRequest(claims, model, "messages", chat, chat_bound(chat), body.max_tokens, bool(body.stream))

    def dialect(answer: Answer) -> MessagesDialect:
        return MessagesDialect(Assembly(random_id("msg_"), body.model, thinks=body.thinks), answer.events)

    def prompt_text() -> str:
        return json.dumps(images.without(chat["messages"])[0], ensure_ascii=False)

    return answered(Asked(request, dialect, prompt_text, body.ignored, _refused))


def count_tokens() -> dict[str, Any]:
    claims = authenticate("inference")
    with gateway().form_counted(claims):
        body = parse_body(CountTokensBody)
        images.check(asked_model(claims, body, "chat"), body.images)
    return {"input_tokens": gateway().count_tokens(claims, "messages.count_tokens", body.chat(), admitting(claims))}


def models_page(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shown = [model_info(model) for model in models]
    ends = [shown[0]["id"], shown[-1]["id"]] if shown else [None, None]
    return {"data": shown, "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def model_info(model: Mapping[str, Any]) -> dict[str, Any]:
    created = rfc3339(int(model.get("created") or 0) * 1000)
    return {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": created}
