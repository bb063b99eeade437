"""Rows of batches, each executed as the request that it holds: the same exchange, its answer stored instead of sent.

    ADMIT (or take the dead attempt's lease over) ─ no record? ─ answer ─ store the result ─ settle
       ✗ after any step: the slice comes again, or the sweeper sends it again when the lease has expired

A row has no item of its own. Its lease says that it runs, its result that it ran. The ledger takes the first record.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sluice.domain import errors
from sluice.domain.batches import Batch, Row, first_epoch, is_given_up, result_of, row_id
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.leases import Lease
from sluice.domain.settings.terms import LOCAL
from sluice.http import json_bounds
from sluice.http.errors import InternalError, ledger_status, openai_envelope
from sluice.http.gateway import complete, respond
from sluice.http.gateway.background import claims_of
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.gateway.streaming import collect
from sluice.http.operation import validated
from sluice.services.batches import Kept, Later, Result, Rows
from sluice.services.gateway.exchange import COME_AGAIN
from sluice.services.gateway.request import RequestContext, RunContext, Superseded
from sluice.services.gateway.settle import Outcome, settle, settle_abandoned
from sluice.wiring.gateway import gateway
from sluice.wiring.stores import hot_store

log = logging.getLogger("sluice.batches")

LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 2, 60
GIVEN_BACK_SECONDS = 5  # of a month's limit, whose own wait is the month
UNTIL_EXPIRED_SECONDS = 31  # from the last renewal of a lease
USED_UP = (errors.QuotaExceeded, errors.InsufficientBudget)
OF_TOKEN = (errors.TokenQuotaExceeded, errors.TokenBudgetUsedUp)
LOST = errors.Interrupted("The row was interrupted too often, or its answer was lost.")
Body = Mapping[str, Any]


def executing(seconds_left: Callable[[], float]) -> Rows:
    return Rows(partial(_execute, seconds_left), _settle, _leased, seconds_left)


def _leased(account_id: str) -> Collection[str]:
    grant = hot_store().grant(account_id)
    return grant.leases.keys() if grant else ()


def _execute(seconds_left: Callable[[], float], batch: Batch, row: Row, raw: bytes, kept: Kept) -> Result:
    asking = _Asking(batch, row, raw, kept, seconds_left)
    try:
        return asking.ask(None)
    except errors.Conflict:  # it has a lease
        taken = _take_over(batch.account_id, asking.request_id)
    result = kept.read()
    if result is not None or hot_store().record(batch.account_id, asking.request_id) is not None or kept.is_done():
        _settle_taken(batch.account_id, asking.request_id, taken[0], result)
        return result or asking.refuse(LOST)
    if is_given_up(taken[0].epoch):
        result = asking.refuse(LOST)
        settle_abandoned(hot_store(), batch.account_id, asking.request_id, taken[0])
        return result
    return asking.ask(taken)


def _settle(account_id: str, request_id: str, kept: Kept) -> Result | None:
    result, grant = kept.read(), hot_store().grant(account_id)
    if grant is None or request_id not in grant.leases:
        return result or kept.read()
    try:
        lease, _ = _take_over(account_id, request_id)
    except Later:
        if result is not None:  # who has stored it is about to settle it; if not, the sweeper sends it again
            return result
        raise
    result = kept.read()
    _settle_taken(account_id, request_id, lease, result)
    return result


def _take_over(account_id: str, request_id: str) -> tuple[Lease, Grant]:
    """Errors: Later, while the lease is alive or another takes it."""
    grant, now_ms = hot_store().grant(account_id), gateway().now_ms()
    lease = grant.leases.get(request_id) if grant else None
    if lease is None:
        raise Later(LEAST_PAUSE_SECONDS, goes_on=True)
    if not lease.expired(now_ms):
        raise Later(1 + (lease.expires_ms - now_ms) // 1000, goes_on=True)
    attempt = hot_store().take_over(account_id, request_id, lease, now_ms)
    if not attempt.made or attempt.grant is None:
        raise Later(LEAST_PAUSE_SECONDS, goes_on=True)
    return replace(lease, epoch=lease.epoch + 1), attempt.grant


def _settle_taken(account_id: str, request_id: str, lease: Lease, result: Result | None) -> None:
    """By the result that a dead attempt has stored; without one, by what it has counted."""
    response = result["response"] if result else None
    if response is None or response["status_code"] != 200:
        settle_abandoned(hot_store(), account_id, request_id, lease)
        return
    usage: Body = response["body"].get("usage") or {}
    prompt = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    completion = usage.get("completion_tokens", usage.get("output_tokens", 0))
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    outcome = Outcome(
        200,
        max(prompt, lease.prompt_tokens),
        max(completion, lease.completion_tokens),
        details.get("cached_tokens", 0),
        finish_reason="stop",
        settled_by="sweeper",
        upstream=lease.upstream or LOCAL,
    )
    settle(hot_store(), account_id, request_id, lease, outcome)


class _Asking:
    def __init__(self, batch: Batch, row: Row, raw: bytes, kept: Kept, seconds_left: Callable[[], float]) -> None:
        self._batch, self._row, self._raw, self._kept = batch, row, raw, kept
        self._seconds_left = seconds_left
        self.request_id = row_id(batch.batch_id, row.line)
        self._result: Result | None = None

    def ask(self, taken: tuple[Lease, Grant] | None) -> Result:
        """Errors: Conflict (another has a lease of it, or had one), Later, StoreUnavailable."""
        epoch = taken[0].epoch if taken else first_epoch(self.request_id, gateway().now_ms())
        run = RunContext(epoch, taken, self._begun if taken is None else lambda: None, is_row=True)
        context = RequestContext(self.request_id, ledger_status, seconds_left=self._seconds_left, run=run)
        try:
            self._answer(context)
        except Superseded:
            return self._ended_by_another()
        except errors.SluiceError as refusal:
            if type(refusal) is errors.Conflict:
                raise
            self._come_again(refusal)
            return self.refuse(refusal)
        except Exception:
            log.exception("a row failed", extra={"request_id": self.request_id})
            return self.refuse(InternalError())
        assert self._result is not None
        return self._result

    def _begun(self) -> None:
        """A record is put before the lease is given back, so whoever is admitted later sees it. A row that was refused
        has none; then its slice says that it had its result."""
        if hot_store().record(self._batch.account_id, self.request_id) is not None or self._kept.is_done():
            raise Superseded()

    def _ended_by_another(self) -> Result:
        """The result is stored before the settlement. A record without one: the sweeper has given the row up."""
        if hot_store().record(self._batch.account_id, self.request_id) is None:
            raise Later(UNTIL_EXPIRED_SECONDS, goes_on=True)
        if (result := self._kept.read()) is not None:
            return result
        if self._kept.is_done():  # so the result was there
            raise Later(LEAST_PAUSE_SECONDS)
        return self.refuse(LOST)

    def refuse(self, refusal: errors.SluiceError) -> Result:
        return self._put(ledger_status(refusal), openai_envelope(refusal))

    def _put(self, status: int, body: Body) -> Result:
        self._result = self._kept.put(result_of(self.request_id, self._row, status, body))
        return self._result

    def _come_again(self, refusal: errors.SluiceError) -> None:
        """Errors: Later, if the row is to be tried again."""
        if isinstance(refusal, errors.AnswerLost):
            raise Later(UNTIL_EXPIRED_SECONDS, goes_on=True)
        if isinstance(refusal, USED_UP):
            if self._may_get_back(refusal):
                raise Later(GIVEN_BACK_SECONDS)
            return
        if isinstance(refusal, errors.NothingAllowed) or not isinstance(refusal, (errors.Throttled, *COME_AGAIN)):
            return
        seconds = getattr(refusal, "retry_after_seconds", LEAST_PAUSE_SECONDS)
        raise Later(min(max(seconds, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS))

    def _may_get_back(self, refusal: errors.Throttled) -> bool:
        """Whether something ran whose reservation is given back to the limit, of the account or of the API token. The
        refusal says so, because by now it may have ended."""
        if not isinstance(refusal, OF_TOKEN):
            return bool(refusal.holding)
        claims = claims_of(json.loads(self._batch.claims))
        return (claims.family or claims.token_id) in refusal.holding

    def _answer(self, context: RequestContext) -> None:
        """Errors: as of the request that the row holds; and Superseded."""
        claims, endpoint = claims_of(json.loads(self._batch.claims)), self._batch.endpoint
        if (fault := json_bounds.excess(self._raw)) is not None:
            raise errors.InvalidJson(fault)
        if endpoint == "/v1/embeddings":
            request = complete.embedding(claims, validated(EmbeddingBody, self._row.body))
            gateway().fetch(request, context, self._stored)
            return
        if endpoint == "/v1/responses":
            model, draft = respond.drafted(claims, validated(ResponseBody, self._row.body))
            asked = draft.asked(model, draft.dialect)
        elif endpoint == "/v1/completions":
            plain = validated(CompletionBody, self._row.body)
            asked = complete.drafted(claims, plain, "completions", endpoint, "completions")
        else:
            chat = validated(ChatBody, self._row.body)
            asked = complete.drafted(claims, chat, "chat.completions", endpoint, "chat")
        with complete.named_fields(asked.field_of):
            exchange, stream, keeper, dialect = asked.begin(context)

            def before(payloads: list[bytes]) -> None:
                if not exchange.holds():
                    raise Superseded()
                self._stored(dialect.whole(payloads))

            collect(exchange, stream, keeper, before)

    def _stored(self, body: Body) -> dict[str, Any]:
        self._put(200, body)
        return dict(body)
