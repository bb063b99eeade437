"""A model server whose models the owner names, because it lists none and reports no health: Amazon Bedrock.

Callers use the owner's names. The server gets its own, and its answers bear the owner's.
Source: Amazon Bedrock User Guide, "Invoke a model with the OpenAI Chat Completions API": of OpenAI's API it has chat
completions only.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sluice.adapters.gateway.upstream import HttpStream, HttpUpstream
from sluice.domain import errors
from sluice.ports.gateway import UpstreamCall


class NamedModels(HttpUpstream):
    """`names`: the owner's name of each model → the server's. `chat_only`: the server has no other calls, and knows the
    limit of an answer as `max_completion_tokens`, as newer models want it."""

    def __init__(self, url: str, names: Mapping[str, str], *, chat_only: bool, **about_it: Any) -> None:
        """`about_it`: what `HttpUpstream` takes."""
        super().__init__(url, **about_it)
        self._names, self._chat_only = names, chat_only

    def open(self, call: UpstreamCall) -> HttpStream:
        try:
            return super().open(self._translated(call))
        except errors.ModelNotFound as exc:  # the owner's name for it leads nowhere
            raise errors.ModelUnavailable() from exc

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        try:
            return super().fetch(self._translated(call))
        except errors.ModelNotFound as exc:
            raise errors.ModelUnavailable() from exc

    def count(self, call: UpstreamCall) -> int | None:
        return None if self._chat_only else super().count(self._translated(call))

    def models(self) -> list[dict[str, Any]]:
        can = {"capabilities": ["chat"]} if self._chat_only else {}
        return [{"id": name, "object": "model", "created": 0, "owned_by": "", **can} for name in self._names]

    def health(self) -> dict[str, Any]:
        """Asks nobody: a request would be charged, and the server says nothing of its health."""
        return {"http_status": 404}

    def _translated(self, call: UpstreamCall) -> UpstreamCall:
        body = {**call.body, "model": self._names.get(call.body["model"], call.body["model"])}
        if self._chat_only and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        return replace(call, body=body, named=call.named or call.body["model"])
