"""One admitted request while it runs: relay the model's events, keep the lease alive, settle exactly once."""

import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from sluice.domain import errors
from sluice.domain.gateway import chunks
from sluice.domain.gateway.admission import AdmissionRequest, Grant
from sluice.domain.gateway.contents import Kept
from sluice.domain.gateway.decision import caller_refusal
from sluice.domain.gateway.estimates import BYTES_A_TOKEN
from sluice.domain.gateway.leases import LEASE_MS, RENEW_EVERY_MS, Lease
from sluice.domain.settings.terms import LOCAL
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import bound_micro_usd, cost_micro_usd
from sluice.frozen import frozen
from sluice.ports.gateway import Asked, HotStore, Reserved, RunAnswer, Spend, UpstreamStream
from sluice.services.gateway.admit import Admitted
from sluice.services.gateway.request import RequestContext, Superseded
from sluice.services.gateway.settle import Outcome, settle, settle_at_once, withdraw
from sluice.services.gateway.settle_later import SettleLater

log = logging.getLogger("sluice.exchange")

CLIENT_GONE_STATUS = 499  # nginx's number, for the ledger only; the caller has gone and gets no status
SETTLE_ATTEMPTS = 3
HELD_MS = 2 * RENEW_EVERY_MS  # after a renewal a run's lease is certainly its attempt's, and for 24 s more
SETTLE_PAUSE_SECONDS = 0.1
PING = b""
COME_AGAIN = (errors.ModelUnavailable, errors.Overloaded, errors.SearchUnavailable, errors.StoreUnavailable)

Clock = Callable[[], int]  # Unix time, ns


class ClientGone(Exception):
    """The caller closed the connection."""


class Ended(Exception):
    """While a server was asked, the caller's API token was revoked, or the account suspended: `cause`. It is no domain
    error, because the server is not to blame, and none is asked after it."""

    def __init__(self, cause: errors.SluiceError) -> None:
        super().__init__(cause)
        self.cause = cause


class Observer(Protocol):
    """Receives the measurements of an exchange, for the metrics."""

    def settling(self) -> AbstractContextManager[object]:
        """Around the attempts to settle."""

    def settled(self, record: LedgerRecord, seconds: float) -> None: ...

    def withdrawn(self) -> None:
        """The admission was taken back."""

    def settlement_failed(self) -> None: ...


@frozen
class Bookkeeping:
    """What all exchanges of a process share to record their work. `remember` gets the grant that a settlement returned,
    and `released` a settlement that returned none, because they improve the next admission's guess. `ended`: called
    once with each request that holds no lease any more, and the seconds that it held one; None if its admission was
    taken back."""

    store: HotStore
    clock: Clock
    observer: Observer
    settle_later: SettleLater
    remember: Callable[[Grant | None], None]
    spend: Spend | None = None
    released: Callable[[LedgerRecord, Lease], None] = lambda record, lease: None
    ended: Callable[[AdmissionRequest, float | None], None] = lambda request, held_seconds: None


class Exchange:
    """One admitted request. It holds a lease until it is settled."""

    def __init__(
        self, books: Bookkeeping, admitted: Admitted, context: RequestContext, *, local_only: bool = False
    ) -> None:
        self._books, self.context, self.local_only = books, context, local_only
        self.most = (0, 0)  # prompt and completion tokens
        self.request, self.lease, self.grant = admitted.request, admitted.lease, admitted.grant
        self._started_ms = self._renewed_ms = books.clock() // 1_000_000
        self._first_ms: int | None = None
        self._stream: UpstreamStream | None = None
        self._counted = (0, 0, 0)
        self._before = (self.lease.prompt_tokens, self.lease.completion_tokens)
        self._asked: Asked | None = None
        self._broke_off = self._estimated = False
        self._whole = False  # whether an answer that is not streamed has come, with its server's counts
        self.record: LedgerRecord | None = None
        self._over = self.withdrawn = False
        self.superseded = False
        self.to_keep: Callable[[], Kept] | None = None  # what its account logs of it
        self.is_kept = False  # whether the settlement has stored that
        self._held_ms = self.lease.expires_ms - LEASE_MS  # when the lease was certainly this attempt's

    @property
    def over(self) -> bool:
        """Whether the exchange is settled or left to the sweeper. In both cases there is nothing more to do."""
        return self._over

    @property
    def upstream(self) -> str | None:
        """The name of the model server that answers, or was asked last."""
        return self._asked.upstream if self._asked else None

    def asked(self, asked: Asked) -> None:
        """A server is asked now, the ones before it to no avail. Each may be silent for as long as a lease is valid, so
        it is renewed before the next. Errors: as a checkpoint's in `events`."""
        self._asked = asked
        self.context.on_asked(asked.upstream)
        now_ms = self._books.clock() // 1_000_000
        if now_ms - self._renewed_ms >= RENEW_EVERY_MS:
            self._checkpoint(now_ms)

    def events(self, stream: UpstreamStream) -> Iterator[bytes]:
        """The payloads of the model's events, and `PING` while the model is silent.

        Errors: ClientGone, InvalidApiToken and AccountSuspended (revoked or suspended during the answer),
        ModelUnavailable, Overloaded, UpstreamTimeout, InvalidModelRequest.
        """
        self._stream = stream
        clock, gone = self._books.clock, self.context.gone
        for payload in stream:
            now_ms = clock() // 1_000_000
            if gone():
                raise ClientGone()
            if now_ms - self._renewed_ms >= RENEW_EVERY_MS:
                self._checkpoint(now_ms)
            if payload:
                if chunks.is_error(payload):
                    raise engine_error(payload)
                if self._first_ms is None:
                    self._first_ms = now_ms
            yield payload

    def waiting(self) -> None:
        """While a server that sends no events has not answered. Errors: ClientGone, Ended."""
        try:
            self._turn()
        except errors.SluiceError as exc:
            raise Ended(exc) from exc

    def pieces(self, answer: RunAnswer) -> Iterator[bytes]:
        """Of an answer without events, as they arrive; not while it is silent. Errors: as `events`."""
        for piece in answer:
            self._turn()
            if piece:
                if self._first_ms is None:
                    self._first_ms = self._books.clock() // 1_000_000
                yield piece

    def _turn(self) -> None:
        now_ms = self._books.clock() // 1_000_000
        if self.context.gone():
            raise ClientGone()
        if now_ms - self._renewed_ms >= RENEW_EVERY_MS:
            self._checkpoint(now_ms)

    def _checkpoint(self, now_ms: int) -> None:
        """Renew the lease. A store failure does not end the stream, because the lease outlasts several renewals."""
        self._renewed_ms = now_ms
        prompt_tokens, completion_tokens, _ = self._counts()
        self.lease = self.lease.with_progress(prompt_tokens, completion_tokens, self.upstream or LOCAL)
        try:
            attempt = self._books.store.checkpoint(self.request.account_id, self.request.request_id, self.lease, now_ms)
        except errors.StoreUnavailable:
            log.warning("checkpoint failed, stream goes on: %s", self.request.request_id)
            return
        if not attempt.made:
            raise self._why_not(attempt.grant, now_ms)
        self._held_ms = now_ms

    def _why_not(self, grant: Grant | None, now_ms: int) -> errors.SluiceError:
        if grant is None:
            return errors.InvalidApiToken("This account is gone.")
        refusal = caller_refusal(grant, self.request.token_id, now_ms)
        return refusal or errors.Overloaded("The request was held up for too long and has been settled.")

    def holds(self) -> bool:
        """Whether a run's lease is still this attempt's, and is for the next 24 s. If not, another process executes it
        or has ended it, and this one must not. Errors: StoreUnavailable."""
        now_ms = self._books.clock() // 1_000_000
        if not self.lease.epoch or now_ms - self._held_ms < HELD_MS:
            return not self.superseded
        prompt_tokens, completion_tokens, _ = self._counts()
        lease = self.lease.with_progress(prompt_tokens, completion_tokens, self.upstream or LOCAL)
        names = (self.request.account_id, self.request.request_id)
        self.superseded = not self._books.store.checkpoint(*names, lease, now_ms, settling=True).made
        self._held_ms = now_ms
        return not self.superseded

    def settle(self, status: int, finish_reason: str | None = None) -> None:
        """Settle once; later calls do nothing. If the store does not answer, this is repeated in the background, and
        the sweeper settles what is still left."""
        if self._over:
            return
        self._over = True
        if self._stream is not None:
            self._stream.close()
        outcome = self.outcome(status, finish_reason)
        try:
            self._settle(outcome)
        finally:
            self._let_go()
            self._books.ended(self.request, (outcome.response_time_ms or 0) / 1000)

    def _let_go(self) -> None:
        """Of what refers to this exchange: a circle would hold the prompt and the answer until Python looks for it."""
        if (stream := self._stream) is not None:
            self._counted = stream.prompt_tokens, stream.completion_tokens, stream.cached_tokens
            self._estimated, self._stream = stream.estimated, None
        self.to_keep = None

    def _settle(self, outcome: Outcome) -> None:
        with self._books.observer.settling():
            if self._tried(outcome):
                return
        log.warning("settlement delayed, because the store does not answer: %s", self.request.request_id)
        self._books.settle_later.add(partial(self._settled, outcome), self._left_to_the_sweeper)

    def _tried(self, outcome: Outcome) -> bool:
        """Whether the store took the settlement at one of a few attempts."""
        kept = self._kept()
        for attempt in range(SETTLE_ATTEMPTS):
            if self._settled(outcome, kept):
                return True
            if attempt + 1 < SETTLE_ATTEMPTS:
                time.sleep(random.uniform(0, SETTLE_PAUSE_SECONDS * 2**attempt))
        return False

    def _kept(self) -> Kept | None:
        try:
            return self.to_keep() if self.to_keep and self._books.store.settles_at_once else None
        except Exception:  # of an answer that cannot be read: it is settled all the same
            log.exception("content not kept: %s", self.request.request_id)
            return None

    def _settled(self, outcome: Outcome, kept: Kept | None = None) -> bool:
        """Whether the store took the settlement."""
        started = time.monotonic()
        try:
            if not self.holds():
                return True
            about = (self._books.store, self.request.account_id, self.request.request_id, self.lease, outcome)
            self.record = settle_at_once(*about, kept)
            if self.record is not None:
                self.is_kept = kept is not None
                self._books.released(self.record, self.lease)
            else:
                self.record, attempt = settle(*about)
                self._books.remember(attempt.grant)
        except errors.StoreUnavailable:
            return False
        self._give_back(self.record, outcome)
        self.context.on_settled(self.record)
        self._books.observer.settled(self.record, time.monotonic() - started)
        return True

    def _give_back(self, record: LedgerRecord, outcome: Outcome) -> None:
        """What the upstream's day reserved and the request did not cost: once, and only if the record is this
        exchange's own. The record of another, such as the sweeper, does not say what this one cost."""
        asked, spend = self._asked, self._books.spend
        if spend is None or asked is None or asked.reserved is None:
            return
        self._asked = replace(asked, reserved=None)
        if all(getattr(record, name) == value for name, value in vars(outcome).items()):
            give_back(spend, asked.reserved, outcome.upstream_micro_usd or 0)

    def _left_to_the_sweeper(self) -> None:
        self._books.observer.settlement_failed()
        log.error("settlement failed, left to the sweeper: %s", self.request.request_id)

    def fail(self, cause: BaseException) -> None:
        """Settle an exchange that ended early, with the HTTP status that its caller gets. One that the model has not
        begun, because it is full, is taken back if its request may wait."""
        if isinstance(cause, Superseded) or (self.context.is_queued and self._may_come_again(cause)):
            self._leave(cause)
            return
        if self._may_come_again(cause) and self._withdraw():
            return
        self._broke_off = True
        if isinstance(cause, ClientGone | GeneratorExit):
            self.settle(CLIENT_GONE_STATUS, "cancelled")
        else:
            self.settle(self.context.status_of(cause), "error")

    def _leave(self, cause: BaseException) -> None:
        """Settle nothing. A lease that cannot be given back expires, and then others see to it."""
        if not self._over and (isinstance(cause, errors.AnswerLost) or not self._withdraw()):
            self._over = True
            self._books.ended(self.request, None)

    def _may_come_again(self, cause: BaseException) -> bool:
        """Whether the request is asked again after this refusal of the model: if it waits for its turn, or is a run."""
        if self.context.is_queued:
            is_row = self.context.run is not None and self.context.run.is_row  # then nobody has read its beginning
            begun = self._first_ms is not None or isinstance(cause, errors.AnswerLost)
            return isinstance(cause, COME_AGAIN) and (is_row or not begun)
        waiter = self.context.waiter
        return isinstance(cause, errors.Overloaded) and waiter is not None and not waiter.late

    def _withdraw(self) -> bool:
        """Take the admission back. → whether it was."""
        waiter, request = self.context.waiter, self.request
        if self._over or self._first_ms is not None or any(self._before):
            return False
        try:
            now_ms = self._books.clock() // 1_000_000
            attempt = withdraw(self._books.store, request, self.lease, self.grant, now_ms)
        except errors.StoreUnavailable:
            return False
        if not attempt.made:
            return False
        self._over = self.withdrawn = True
        if waiter is not None:
            waiter.admitted = False
        if self._stream is not None:
            self._stream.close()
        self._let_go()
        self._books.remember(attempt.grant)
        self._books.observer.withdrawn()
        self._books.ended(request, None)
        return True

    def outcome(self, status: int, finish_reason: str | None) -> Outcome:
        """As what it would be settled now."""
        stream, now_ms = self._stream, self._books.clock() // 1_000_000
        prompt, completion, cached = self._bounded(*self._counts())
        estimated = self._estimated if stream is None else stream.estimated
        taken_ms = max(0, now_ms - self._started_ms)
        return Outcome(
            status=status,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            finish_reason=finish_reason,
            response_time_ms=taken_ms,
            ttft_ms=None if self._first_ms is None else max(0, self._first_ms - self._started_ms),
            call=self.context.call,
            upstream=self.upstream,
            upstream_micro_usd=self._own_cost(prompt, completion, cached, taken_ms, estimated=estimated),
            estimated=estimated and prompt + completion > 0,
        )

    def _counts(self) -> tuple[int, int, int]:
        """Prompt, completion and cached tokens so far, those of a run's dead attempts included."""
        if (stream := self._stream) is None:
            prompt, completion, cached = self._counted
        else:
            prompt, completion, cached = stream.prompt_tokens, stream.completion_tokens, stream.cached_tokens
        return prompt + self._before[0], completion + self._before[1], cached

    def _own_cost(
        self, prompt_tokens: int, completion_tokens: int, cached_tokens: int, taken_ms: int, *, estimated: bool
    ) -> int | None:
        """What the answer costs the owner, at most what was reserved of the upstream's day. Of a day only that is free
        again for which the server cannot charge: nothing where the answer broke off, because the server may go on and
        tells no counts; and where an answer ends without counts, each byte may be a token."""
        if self._asked is None or self._asked.prices is None:
            return None
        reserved, prices = self._asked.reserved, self._asked.prices
        if reserved is None:
            return cost_micro_usd(prices, prompt_tokens, completion_tokens, cached_tokens, taken_ms) or 0
        if self._broke_off and not self._whole:
            return reserved.micro_usd
        if estimated:
            may_have_come = min(self.most[1], completion_tokens * BYTES_A_TOKEN)
            cost = reserved.micro_usd - bound_micro_usd(prices, *self.most)
            cost += bound_micro_usd(prices, self.most[0], may_have_come)
        else:  # by the server's own counts, which may be above those that the caller reserved
            prompt, completion, cached = (max(0, count) for count in self._counts())
            cost = cost_micro_usd(prices, prompt, completion, min(cached, prompt), taken_ms) or 0
        return min(cost, reserved.micro_usd)

    def _bounded(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> tuple[int, int, int]:
        """The counts of a model server, which may be another's, within what the admission reserved."""
        reserved = self.lease.reserved_tokens
        prompt = min(max(0, prompt_tokens), reserved)
        completion = min(max(0, completion_tokens), reserved - prompt)
        if prompt + completion < prompt_tokens + completion_tokens:
            counted = f"{prompt_tokens} + {completion_tokens}"
            log.warning("the model counted %s tokens, %s were reserved: %s", counted, reserved, self.request.request_id)
        return prompt, completion, min(max(0, cached_tokens), prompt)

    def count(
        self, prompt_tokens: int, completion_tokens: int = 0, cached_tokens: int = 0, *, estimated: bool = False
    ) -> None:
        """Set the counts of an answer that is not streamed."""
        self._counted, self._estimated = (prompt_tokens, completion_tokens, cached_tokens), estimated
        self._whole = not estimated


def give_back(spend: Spend, reserved: Reserved, cost_micro_usd: int) -> None:
    """What is reserved but for a cost. What the store does not take stays spent until the day ends."""
    if reserved.micro_usd <= cost_micro_usd:
        return
    try:
        spend.give_back(reserved, reserved.micro_usd - cost_micro_usd)
    except errors.StoreUnavailable:
        log.warning("a reservation of %s stays spent on %s", reserved.upstream, reserved.day)


def take_usage(stream: UpstreamStream, chunk: dict[str, Any]) -> None:
    """Use the model server's final counts if it sends them, because they are exact for any server."""
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    prompt, completion = _counted(usage, "prompt_tokens"), _counted(usage, "completion_tokens")
    if prompt is not None and completion is not None:
        stream.estimated = False
    stream.prompt_tokens = prompt or stream.prompt_tokens
    stream.completion_tokens = stream.completion_tokens if completion is None else completion
    stream.cached_tokens = _counted(details, "cached_tokens") or stream.cached_tokens


def _counted(told: dict[str, Any], name: str) -> int | None:
    """None where the server tells none, or what is no count."""
    count = told.get(name)
    return count if type(count) is int and count >= 0 else None


def usage_chunk(stream: UpstreamStream, last: dict[str, Any]) -> bytes:
    """The chunk with the counts, for an answer whose server sends none. `last`: its last chunk."""
    prompt, completion = stream.prompt_tokens, stream.completion_tokens
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return json.dumps({**last, "choices": [], "usage": usage}, separators=(",", ":")).encode()


def engine_error(payload: bytes) -> errors.SluiceError:
    """The domain error for an error that the engine sent within its stream."""
    detail = json.loads(payload).get("error")
    detail = detail if isinstance(detail, dict) else {}
    code, message, seconds = detail.get("code"), detail.get("message"), _counted(detail, "retry_after_s") or 2
    if code == "context_length_exceeded":
        return errors.ContextLengthExceeded(message, detail.get("param"))
    if code == "overloaded":
        return errors.Overloaded(retry_after_seconds=seconds)
    if code == "upstream_timeout" or detail.get("status") == 504:
        return errors.UpstreamTimeout(message)
    if code == "unsupported_schema":
        return errors.UnsupportedSchema(message, detail.get("param"))
    if code == "schema_not_met":
        return errors.SchemaNotMet(message)
    if detail.get("status") == 400:
        return errors.InvalidModelRequest(message, detail.get("param"))
    return errors.ModelUnavailable(retry_after_seconds=seconds)
