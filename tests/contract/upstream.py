"""A scripted model server for the contract tests: it gives a short, valid answer to every request."""

import json
from typing import Any

from sluice.domain.errors import ModelUnavailable
from sluice.ports.gateway import UpstreamCall
from tests.fakes.upstream import FakeStream, chunk, usage_chunk

MODELS = [
    {
        "id": "demo",
        "object": "model",
        "created": 1,
        "owned_by": "sluice",
        "context_window": 4096,
        "capabilities": ["chat", "completions", "embeddings"],
    }
]


class ContractUpstream:
    def __init__(self) -> None:
        self.down = False

    def open(self, call: UpstreamCall) -> FakeStream:
        self._answer()
        if call.path == "/v1/chat/completions":
            return FakeStream([chunk("Pa"), chunk("ris"), chunk(reason="stop"), usage_chunk(10, 2)])
        return FakeStream([_text("Paris"), _text("", "stop"), usage_chunk(10, 1)])

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        self._answer()
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        vector = {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}
        return {"object": "list", "data": [vector], "model": "demo", "usage": usage}

    def count(self, call: UpstreamCall) -> int:
        self._answer()
        return 10

    def models(self) -> list[dict[str, Any]]:
        self._answer()
        return MODELS

    def _answer(self) -> None:
        if self.down:
            raise ModelUnavailable()


def _text(text: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
    body = {"id": "cmpl-x", "object": "text_completion", "created": 1, "model": "demo", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()
