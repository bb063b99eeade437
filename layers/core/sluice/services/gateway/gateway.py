"""From a caller's request to a running exchange: who, which model, how much at most, admit, ask the model."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sluice.domain import errors
from sluice.domain.gateway.admission import Ask, Grant
from sluice.domain.gateway.contents import LoggedContent, expires_s
from sluice.domain.tokens import Claims
from sluice.ports.gateway import HotStore, Upstream, UpstreamCall, UpstreamStream
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.exchange import Clock, Connection, Exchange, Observer
from sluice.services.gateway.model_list import ModelList

log = logging.getLogger("sluice.gateway")

# What a chat template may add once: the start of the text, a default system prompt, the turn to answer.
TEMPLATE_TOKENS = 48
NO_MODEL = "none"  # in the ledger, of requests that no model answers
LEAST_SECONDS = 0.5  # with less to go it fails for its time, and not for want of a time-out
EMBED_SECONDS = 25.0  # nothing renews the lease of an answer that is no stream: it must be there before 30 s


@dataclass(frozen=True)
class Gateway:
    store: HotStore
    admission: Admission
    upstream: Upstream
    models: ModelList
    observer: Observer
    clock: Clock
    default_max_tokens: int
    deadline_seconds: float
    content_days: int
    """Until whoever runs this request ends it (AWS Lambda), less what settling it may take."""

    @contextmanager
    def welcome(self, claims: Claims) -> Iterator[None]:
        """Inside, a request may be refused for its form; but a caller who is not welcome at all hears that first."""
        try:
            yield
        except errors.SluiceError:
            self.admission.check(claims.account_id, claims.token_id, self.clock() // 1_000_000)
            raise

    def caller(self, claims: Claims) -> Grant:
        """For requests that take nothing. Errors: InvalidApiToken, AccountSuspended."""
        return self.admission.check(claims.account_id, claims.token_id, self.clock() // 1_000_000)

    def model_for(self, claims: Claims, name: str, capability: str) -> dict[str, Any]:
        """Errors: ModelNotFound (also where the API token is not for this model), InvalidModelRequest."""
        if claims.models is not None and name not in claims.models:
            raise errors.ModelNotFound(f"The model {name!r} does not exist or you do not have access to it.")
        model = self.models.get(name)
        if capability not in model.get("capabilities", [capability]):
            raise errors.InvalidModelRequest(f"The model {name!r} does not do {capability}.", "model")
        return model

    def start(
        self,
        claims: Claims,
        request_id: str,
        model: Mapping[str, Any],
        endpoint: str,
        *,
        stream: bool,
        prompt_bound: int,
        max_tokens: int | None,
        connection: Connection,
    ) -> tuple[Exchange, int]:
        """Admit. → the exchange to run and settle, and the completion tokens it may have.

        `prompt_bound`: model tokens the prompt has at most. It is reckoned from the text's bytes (every token stands
        for at least one), so knowing it costs neither a tokenizer nor a round trip. Errors: as `Admission.admit`.
        """
        context = int(model.get("context_window") or 1_000_000_000)
        completion_tokens = min(max_tokens if max_tokens is not None else self.default_max_tokens, context)
        reserve = min(prompt_bound + TEMPLATE_TOKENS + completion_tokens, context)
        ask = Ask(claims.account_id, request_id, claims.token_id, reserve, str(model["id"]), endpoint, stream)
        return self._admitted(ask, connection), completion_tokens

    def _admitted(self, ask: Ask, connection: Connection) -> Exchange:
        admitted = self.admission.admit(ask, self.clock())
        return Exchange(self.store, admitted, self.clock, connection, self.observer, self.admission.remember)

    @contextmanager
    def counted(self, claims: Claims, request_id: str, endpoint: str) -> Iterator[Exchange]:
        """Around a request that asks no model: admitted like any other, for no tokens but those counted inside, and
        settled however it ends. Errors: as `Admission.admit`, and what is raised inside."""
        ask = Ask(claims.account_id, request_id, claims.token_id, 0, NO_MODEL, endpoint, False)
        exchange = self._admitted(ask, Connection())
        try:
            yield exchange
        except BaseException as exc:
            exchange.fail(exc)
            raise
        exchange.settle(200)

    def ask(self, exchange: Exchange, path: str, body: Mapping[str, Any]) -> UpstreamStream:
        """Ask the model; a refusal settles the exchange. Errors: as `Upstream.open`."""
        try:
            return self.open(exchange, path, body)
        except BaseException as exc:
            exchange.fail(exc)
            raise

    def open(self, exchange: Exchange, path: str, body: Mapping[str, Any]) -> UpstreamStream:
        """For a caller that may ask again: a refusal settles nothing. Errors: as `Upstream.open`."""
        call = UpstreamCall(path, body, exchange.ask.request_id, exchange.ask.account_id, self._seconds(exchange))
        return self.upstream.open(call)

    def embed(self, exchange: Exchange, body: Mapping[str, Any]) -> dict[str, Any]:
        """One answer, not streamed, settled in any case. Errors: as `Upstream.fetch`."""
        seconds = min(self._seconds(exchange), EMBED_SECONDS)
        call = UpstreamCall("/v1/embeddings", body, exchange.ask.request_id, exchange.ask.account_id, seconds)
        try:
            answer = self.upstream.fetch(call)
            exchange.count(int((answer.get("usage") or {}).get("prompt_tokens") or 0))
        except BaseException as exc:
            exchange.fail(exc)
            raise
        exchange.settle(200)
        return answer

    def _seconds(self, exchange: Exchange) -> float:
        """What a model may take for the request that runs now."""
        return min(self.deadline_seconds, max(exchange.connection.seconds_left(), LEAST_SECONDS))

    def keep_content(self, ask: Ask, prompt: str, response: str) -> None:
        """For the caller's own log. Losing it loses no money, so a store that is away just loses it."""
        now_ms = self.clock() // 1_000_000
        content, ttl_s = LoggedContent(prompt, response), expires_s(now_ms, self.content_days)
        try:
            self.store.put_content(ask.account_id, ask.request_id, content, now_ms, ttl_s)
        except errors.StoreUnavailable:
            log.warning("content not kept: %s", ask.request_id)
