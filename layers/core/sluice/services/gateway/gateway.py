"""From an authenticated request to a running exchange: choose the model, bound the tokens, admit, ask the model."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Grant
from sluice.domain.gateway.contents import Kept, LoggedContent, expires_s
from sluice.domain.gateway.decision import caller_refusal
from sluice.domain.gateway.estimates import BYTES_A_TOKEN
from sluice.domain.gateway.leases import Lease
from sluice.domain.gateway.rerank import tokens_cached, tokens_read
from sluice.domain.gateway.tries import FAULT_TOKENS, tries_of
from sluice.domain.settings.terms import LOCAL, NO_MODEL, NO_TERMS, Terms
from sluice.domain.tokens import Claims
from sluice.domain.usage.pricing import Prices, bound_micro_usd, usd
from sluice.ports.gateway import Content, HotStore, RunAnswer, Spend, Upstream, UpstreamCall, UpstreamStream
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.exchange import Bookkeeping, Clock, Ended, Exchange, Observer
from sluice.services.gateway.fit import Counts, Fit, countable
from sluice.services.gateway.queue import Queue
from sluice.services.gateway.request import COUNT_PATH, ModelRequest, RequestContext
from sluice.services.gateway.routes import OWN_ENGINE, Routes
from sluice.services.gateway.settle_later import SettleLater

log = logging.getLogger("sluice.gateway")

# What a chat template may add once: the start of the text, a default system prompt, the header of the answer.
TEMPLATE_TOKENS = 48
LEAST_SECONDS = 0.5  # the smallest timeout, so that a request at its deadline fails with a timeout error
COUNT_SECONDS = 5.0  # for a count before the admission
EMBED_SECONDS = 25.0  # below the lease of 30 s, because nothing renews the lease of an answer that is not streamed
RUNS = ("run", "infer")  # of a model that is no language model
NO_CONTEXT_WINDOW = 1_000_000_000  # tokens, for a model whose server states no context window


@dataclass(frozen=True)
class Defaults:
    """`max_tokens`: for requests that name none. `deadline_seconds`: how long a model may take for one request.
    `whole_seconds`: the same for an answer that is not streamed, because it is silent until it is whole, and what is in
    front ends a silent connection (API Gateway after 5 minutes).
    `content_days`: how many days logged prompts and answers are kept."""

    max_tokens: int
    deadline_seconds: float
    content_days: int
    whole_seconds: float = math.inf


@dataclass(frozen=True)
class Gateway:
    store: HotStore
    admission: Admission
    upstream: Upstream
    routes: Callable[[], Routes]
    observer: Observer
    clock: Clock
    defaults: Defaults
    settle_later: SettleLater = field(default_factory=SettleLater)
    terms: Callable[[], Terms] = lambda: NO_TERMS
    counts: Counts = field(default_factory=Counts)
    spend: Spend | None = None
    queue: Queue | None = None
    """Where requests wait for their turn; None where none may."""

    def now_ms(self) -> int:
        return self.clock() // 1_000_000

    @contextmanager
    def authentication_first(self, claims: Claims) -> Iterator[None]:
        """Authentication errors take precedence over validation errors, so an error raised inside reaches only a caller
        whose API token is live. Errors: InvalidApiToken, AccountSuspended, and the errors raised inside."""
        try:
            yield
        except errors.SluiceError:
            self.check_caller(claims)
            raise

    @contextmanager
    def form_counted(self, claims: Claims) -> Iterator[None]:
        """Around the checks of a request's form, from the reading of its body on: one that is refused for its form
        counts as a request a minute, and when none is left it is refused for that instead. Errors: as
        `Admission.charge_malformed`, and the errors raised inside."""
        self.admission.refuse_malformed_floods(claims.account_id, claims.token_id, self.clock(), claims.family or "")
        try:
            yield
        except errors.Unavailable:  # not the caller's fault
            self.check_caller(claims)
            raise
        except errors.SluiceError:
            self.charge_request(claims)
            raise

    def charge_request(self, claims: Claims) -> None:
        """Count a request a minute, without an admission. Errors: as `Admission.charge_malformed`."""
        self.admission.charge_malformed(claims.account_id, claims.token_id, self.clock(), claims.family or "")

    def check_caller(self, claims: Claims) -> Grant:
        """For requests that count against no limit. Errors: InvalidApiToken, AccountSuspended, StoreUnavailable."""
        return self.admission.check(claims.account_id, claims.token_id, self.now_ms())

    def permitted_models(self, claims: Claims) -> list[dict[str, Any]]:
        """The models that the API token may use, and by its plan, as it was seen last, the account; with prices and
        aliases. Errors: ModelUnavailable."""
        terms, models = self.terms(), self.routes().all(local_only=claims.local_only)
        allowed = [one for one in models if _is_named(claims, str(one["id"]), terms) and self._in_plan(claims, one)]
        return [_described(model, terms) for model in allowed]

    def _in_plan(self, claims: Claims, model: Mapping[str, Any]) -> bool:
        seen = self.admission.seen(claims.account_id)
        return self.terms().plan(seen.plan if seen else "").allows(str(model["id"]))

    def permitted_model(self, claims: Claims, name: str) -> dict[str, Any]:
        """One of them, by its id or an alias. Errors: as `_model`."""
        model = self._model(claims, name)
        if not self._in_plan(claims, model):
            raise _no_model(name)
        return _described(model, self.terms())

    def _model(self, claims: Claims, name: str) -> dict[str, Any]:
        """Errors: ModelNotFound (also if the API token may not use the model), Forbidden (a local-only request, and the
        model has no server at home), ModelUnavailable."""
        terms = self.terms()
        model = terms.id_of(name)
        if not _is_named(claims, model, terms):
            raise _no_model(name)
        return self.routes().get(model, local_only=claims.local_only)

    def model_for(self, claims: Claims, name: str, capability: str) -> dict[str, Any]:
        """By its id or an alias. Errors: as `_model`, and InvalidModelRequest if the model lacks the capability."""
        model = self._model(claims, name)
        usual = () if capability in RUNS else (capability,)  # what a server that states no capabilities may do
        if capability not in (can := model.get("capabilities", usual)):
            hint = f" It is called by POST /v1/run/{model['id']}." if "run" in can else ""
            raise errors.InvalidModelRequest(f"The model {name!r} does not do {capability}.{hint}", "model")
        return model

    def start(self, request: ModelRequest, context: RequestContext) -> tuple[Exchange, int]:
        """Admit. → the exchange to run and settle, and the most completion tokens of a choice. Errors: as
        `Admission.admit`."""
        fit = self._fit(request, context)
        if (run := context.run) is not None and run.taken is not None:
            exchange = self._taken(fit, request.claims, context, run.taken)
        else:
            exchange = self._admitted(fit, request, context)
        with self.failing(exchange):
            if run is not None:
                run.begun()
                if run.taken is not None:
                    fit.into_reserved(exchange.request.reserve_tokens)
            if fit.room is not None:
                fit.into_context()
        completions = min(exchange.request.reserve_tokens, _completions(request, fit.completion_tokens))
        exchange.most = exchange.request.reserve_tokens - completions, completions
        return exchange, fit.completion_tokens

    def _admitted(self, fit: Fit, request: ModelRequest, context: RequestContext) -> Exchange:
        try:
            return self._admit(fit.request, context, request.claims, fit)
        except errors.Throttled:
            if fit.counted and not context.is_queued:  # so that counts are bounded by the requests a minute
                self.charge_request(request.claims)
            raise

    def _taken(self, fit: Fit, claims: Claims, context: RequestContext, taken: tuple[Lease, Grant]) -> Exchange:
        """The next attempt of a run, with the reservation of the first. Its caller is checked again at once: errors as
        `check_caller`, by which the exchange is settled."""
        lease, grant = taken
        request = replace(
            fit.request,
            reserve_tokens=lease.reserved_tokens,
            reserve_micro_usd=lease.reserved_micro_usd,
            prices=lease.prices,
            price_percent=lease.price_percent,
        )
        exchange = self._exchange(Admitted(request, lease, grant), context, local_only=claims.local_only)
        with self.failing(exchange):
            if (refusal := caller_refusal(grant, lease.token_id, self.now_ms())) is not None:
                raise refusal
        return exchange

    def _fit(self, request: ModelRequest, context: RequestContext) -> Fit:
        window = int(request.model.get("context_window") or NO_CONTEXT_WINDOW)
        most = min(window, self.defaults.max_tokens if request.max_tokens is None else request.max_tokens)
        passages = request.grounding.prompt_bound if request.grounding else 0
        prices, percent = self.terms().prices.get(str(request.model["id"])), None
        if context.run is not None and context.run.is_row:
            percent = self.terms().batch_percents.get(str(request.model["id"]), 100)
            prices = prices and prices.at(percent)
        first = self._first_upstream(request.claims, str(request.model["id"]))

        def form(prompt_tokens: int, completion_tokens: int) -> AdmissionRequest:
            tokens = _bound(request, prompt_tokens + passages, completion_tokens, window)
            return AdmissionRequest(
                request.claims.account_id,
                context.request_id,
                request.claims.token_id,
                tokens,
                str(request.model["id"]),
                request.endpoint,
                request.stream,
                request.claims.family or "",
                _cost_bound(request, prices, tokens, completion_tokens),
                prices,
                first,
                0 if context.run is None else context.run.epoch,
                request.claims.judged_origin,
                context.run is not None and context.run.at_once,
                percent,
            )

        return Fit(
            form=form,
            prompt_tokens=request.prompt_bound,
            most=most,
            default=self.defaults.max_tokens,
            room=None if request.model.get("owned_by") == OWN_ENGINE else window - passages - TEMPLATE_TOKENS,
            count=partial(self._count, request, context),
            counts=self.counts,
        )

    def _first_upstream(self, claims: Claims, model: str) -> str:
        """As a lease names it."""
        steps = self.routes().steps(model, local_only=claims.local_only)
        return "" if not steps or steps[0].server.terms.name == LOCAL else steps[0].server.terms.name

    def _count(self, request: ModelRequest, context: RequestContext) -> int | None:
        """The prompt tokens of a request that is not admitted; None if no model server counts such a prompt. Errors:
        ModelUnavailable, InvalidModelRequest, InvalidApiToken, AccountSuspended, StoreUnavailable."""
        if (asked := countable(request)) is None:
            return None
        body, more = asked
        seconds = min(COUNT_SECONDS, max(context.seconds_left(), LEAST_SECONDS))
        names = (context.request_id, request.claims.account_id)
        call = UpstreamCall(COUNT_PATH, body, *names, seconds, local_only=request.claims.local_only)
        with self.authentication_first(request.claims):
            try:
                return (self.upstream.count(call) or 0) + more
            except errors.UpstreamTimeout as exc:
                raise errors.ModelUnavailable() from exc

    def _admit(
        self, request: AdmissionRequest, context: RequestContext, claims: Claims, fit: Fit | None = None
    ) -> Exchange:
        admitted = self.admission.admit(request, self.clock(), fit)
        if context.waiter is not None:
            context.waiter.admitted = True
        return self._exchange(admitted, context, local_only=claims.local_only)

    def _exchange(self, admitted: Admitted, context: RequestContext, *, local_only: bool = False) -> Exchange:
        if self.queue is not None:
            self.queue.began(admitted.request.account_id, admitted.request.model)
        told = self.admission.remember, self.spend, self.admission.released, self._ended
        books = Bookkeeping(self.store, self.clock, self.observer, self.settle_later, *told)
        return Exchange(books, admitted, context, local_only=local_only)

    def _ended(self, request: AdmissionRequest, held_seconds: float | None) -> None:
        if self.queue is not None:
            self.queue.ended(request.account_id, request.model, held_seconds)

    def check_waiting(self, claims: Claims) -> None:
        """For a request that waits: by the grant as others of its account saw it last, and if that refuses it, as it is
        in the store. Errors: as `check_caller`."""
        seen = self.admission.seen(claims.account_id)
        if seen is None or caller_refusal(seen, claims.token_id, self.now_ms()) is not None:
            self.check_caller(claims)

    @contextmanager
    def counted(self, claims: Claims, endpoint: str, context: RequestContext) -> Iterator[Exchange]:
        """Around a request that asks no model: admitted like any other, for no tokens but those counted inside, and
        settled however it ends. Errors: as `Admission.admit`, and what is raised inside."""
        exchange = self.admitted(claims, endpoint, context)
        with self.failing(exchange):
            yield exchange
        exchange.settle(200)

    def admitted(
        self, claims: Claims, endpoint: str, context: RequestContext, model: str = "", prices: Prices | None = None
    ) -> Exchange:
        """For no tokens; of a model, for what a request and its seconds may cost. Errors: as `Admission.admit`."""
        names = (claims.account_id, context.request_id, claims.token_id)
        request = AdmissionRequest(*names, 0, model or NO_MODEL, endpoint, False, claims.family or "")
        request = replace(request, origin=claims.judged_origin)
        if model:
            first, most = self._first_upstream(claims, model), bound_micro_usd(prices, 0, 0)
            request = replace(request, prices=prices, reserve_micro_usd=most, upstream=first)
        return self._admit(request, context, claims)

    def run(self, exchange: Exchange, path: str, content: Content, most_seconds: float) -> RunAnswer:
        """Pass a body on. An error settles the exchange. Errors: as `Upstream.run`, and ClientGone."""
        body = {"model": exchange.request.model}
        with self.failing(exchange):
            call = _call(exchange, path, body, min(self._seconds(exchange), most_seconds))
            try:
                return self.upstream.run(replace(call, content=content, waiting=exchange.waiting))
            except Ended as exc:
                raise exc.cause from exc

    def ask(self, exchange: Exchange, path: str, body: Mapping[str, Any]) -> UpstreamStream:
        """Ask the model. An error settles the exchange. Errors: as `Upstream.open`."""
        with self.failing(exchange):
            return self.open(exchange, path, body)

    @contextmanager
    def failing(self, exchange: Exchange) -> Iterator[None]:
        """Around what settles the exchange only if it fails."""
        try:
            yield
        except BaseException as exc:
            exchange.fail(exc)
            raise

    def open(self, exchange: Exchange, path: str, body: Mapping[str, Any]) -> UpstreamStream:
        """For a caller that may ask again: a refusal settles nothing. Errors: as `Upstream.open`."""
        tries = 1 if exchange.request.stream else tries_of(body)
        return self.upstream.open(_call(exchange, path, body, self._seconds(exchange), tries))

    def fetch(
        self, request: ModelRequest, context: RequestContext, form: Callable[[dict[str, Any]], dict[str, Any]] = dict
    ) -> dict[str, Any]:
        """Embeddings, or scores, settled in every case. `form`: makes the caller's answer of the model server's.
        Errors: as `Admission.admit`, `Upstream.fetch` and `form`."""
        # Each input may fill the context window, so the window does not bound the sum of all inputs.
        exchange, _ = self.start(replace(request, model={**request.model, "context_window": None}), context)
        with self.failing(exchange):
            seconds = min(self._seconds(exchange), EMBED_SECONDS)
            answer = self.upstream.fetch(_call(exchange, request.path, request.body, seconds))
            read = tokens_read(answer)
            tokens = -(-request.prompt_bound // BYTES_A_TOKEN) if read is None else read
            exchange.count(tokens, cached_tokens=tokens_cached(answer), estimated=read is None)
            answer = form(answer)
        exchange.settle(200)
        return answer

    def count_tokens(self, claims: Claims, endpoint: str, body: Mapping[str, Any], context: RequestContext) -> int:
        """The prompt tokens of a chat request. It counts as a request for no tokens. Errors: as `Admission.admit` and
        `Upstream.count`."""
        with self.counted(claims, endpoint, context) as exchange:
            seconds = min(self._seconds(exchange), EMBED_SECONDS)
            return self.upstream.count(_call(exchange, COUNT_PATH, body, seconds)) or 0

    def _seconds(self, exchange: Exchange) -> float:
        """How many seconds the model may take for this request."""
        most = self.defaults.deadline_seconds
        if not exchange.request.stream and exchange.context.run is None:
            most = min(most, self.defaults.whole_seconds)
        return min(most, max(exchange.context.seconds_left(), LEAST_SECONDS))

    def kept(self, prompt: str, response: str) -> Kept:
        now_ms = self.now_ms()
        return Kept(LoggedContent(prompt, response), now_ms, expires_s(now_ms, self.defaults.content_days))

    def keep_content(self, request: AdmissionRequest, kept: Kept) -> None:
        """For the caller's own log. Losing it loses no money, so a store that is away just loses it."""
        try:
            self.store.put_content(request.account_id, request.request_id, *kept)
        except errors.StoreUnavailable:
            log.warning("content not kept: %s", request.request_id)


def _no_model(name: str) -> errors.ModelNotFound:
    return errors.ModelNotFound(f"The model {name!r} does not exist or you do not have access to it.")


def _is_named(claims: Claims, model: str, terms: Terms) -> bool:
    """Whether the API token is for this model. `claims.models` may have aliases."""
    return claims.models is None or model in map(terms.id_of, claims.models)


def _described(model: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """The server's row with what Sluice says of a model: dollars by the names of the owner's settings, of what has a
    price."""
    prices, aliases = terms.prices.get(str(model["id"])), terms.aliases_of(str(model["id"]))
    pricing = {
        name.replace("micro_", ""): usd(value)
        for name, value in (vars(prices) if prices else {}).items()
        if value is not None and "usd" in name
    }
    return {"owned_by": "", "context_window": None, **model, "pricing": pricing, "aliases": aliases}


def _cost_bound(request: ModelRequest, prices: Prices | None, tokens: int, completion_tokens: int) -> int:
    if prices is None:
        return 0
    completions = min(tokens, _completions(request, completion_tokens))
    return bound_micro_usd(prices, tokens - completions, completions)


def _completions(request: ModelRequest, completion_tokens: int) -> int:
    return completion_tokens * request.choices * _tries(request)


def _call(exchange: Exchange, path: str, body: Mapping[str, Any], seconds: float, tries: int = 1) -> UpstreamCall:
    request = exchange.request
    return UpstreamCall(
        path,
        body,
        request.request_id,
        request.account_id,
        seconds,
        tries=tries,
        local_only=exchange.local_only,
        most=exchange.most,
        prices=request.prices,
        asked=exchange.asked,
        is_row=request.is_row,
    )


def _tries(request: ModelRequest) -> int:
    return 1 if request.stream else tries_of(request.body)


def _bound(request: ModelRequest, prompt_bound: int, completion_tokens: int, window: int) -> int:
    """Upper bound of the request's tokens. A choice and its prompt share a window, so all choices together fit as many
    windows. The choices of a first try share a prompt; a second try has its own, with what was wrong."""
    answers = (TEMPLATE_TOKENS + completion_tokens) * request.choices
    most = window * request.choices
    first = min(prompt_bound + answers, most)
    if _tries(request) == 1:
        return first
    return first + min((prompt_bound + FAULT_TOKENS) * request.choices + answers, most)
