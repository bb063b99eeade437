"""One answer of a model: admit the request, then ask the model, if requested with passages of documents."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sluice.domain import errors
from sluice.domain.documents.retrieval import Grounding, Sources, citations
from sluice.domain.gateway import chunks
from sluice.domain.gateway.contents import MAX_TEXT_BYTES, Kept
from sluice.domain.tokens import Claims
from sluice.frozen import frozen
from sluice.ports.gateway import UpstreamStream
from sluice.services.documents.retrieve import Retrieval
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.gateway import Gateway
from sluice.services.gateway.grounded_answer import GroundedAnswers, with_fewer_turns
from sluice.services.gateway.request import ModelRequest, RequestContext

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@frozen
class Answer:
    """An answer that the model has begun. `sources` is None if no documents were searched."""

    exchange: Exchange
    events: UpstreamStream
    sources: Sources | None

    @property
    def own_fields(self) -> dict[str, Any] | None:
        """The fields that a grounded answer has in addition to OpenAI's."""
        return None if self.sources is None else {"citations": citations(self.sources.given)}


@dataclass(frozen=True)
class Answers:
    gateway: Gateway
    retrieval: Callable[[], Retrieval]
    """Called only for requests that use documents, so that other cold starts do not pay for it."""

    def check_grounding(self, claims: Claims, grounding: Grounding | None) -> None:
        """Errors: InsufficientScope, NotFound (also for another account's vector store), StoreUnavailable."""
        if grounding is None:
            return
        if "files" not in claims.scopes:
            raise errors.InsufficientScope("This API token lacks the scope 'files'.")
        self.retrieval().check(claims.account_id, grounding.store_ids, self.gateway.now_ms())

    def start(self, request: ModelRequest, context: RequestContext) -> Answer:
        """Admit the request and ask the model. An error after the admission settles the exchange. Errors: as
        `Admission.admit`, `Upstream.open` and, with a grounding, `Retrieval.find`."""
        exchange, max_tokens = self.gateway.start(request, context)
        body: dict[str, Any] = {**request.body, **STREAMED, "max_tokens": max_tokens}
        with self.gateway.failing(exchange):
            if request.grounding is None:
                open_ = partial(self.gateway.open, exchange, request.path)
                return Answer(exchange, with_fewer_turns(request, body, open_), None)
            grounded = GroundedAnswers(self.gateway, self.retrieval())
            return Answer(exchange, *grounded.ask(exchange, request, request.grounding, body))


class LogKeeper:
    """Keeps the prompt and the answer in the caller's request log, if the account's settings say so: with the
    settlement where the store takes both at once, and otherwise after it."""

    def __init__(self, gateway: Gateway, exchange: Exchange, prompt: Callable[[], str]) -> None:
        self._gateway, self._exchange, self._prompt = gateway, exchange, prompt
        self._keeps = exchange.grant.store_content
        self._transcript = chunks.Transcript(MAX_TEXT_BYTES if self._keeps else 0)
        self.add = self._transcript.add  # called with each chunk
        exchange.to_keep = self._kept if self._keeps else None

    def _kept(self) -> Kept:
        return self._gateway.kept(self._prompt(), self._transcript.text())

    def end(self) -> None:
        if self._keeps and not self._exchange.is_kept:
            self._gateway.keep_content(self._exchange.request, self._kept())
