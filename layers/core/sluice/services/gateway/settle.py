"""Settle an admitted request: two idempotent writes; on one machine both by one call, if neither was made (ADR 49).

1. Put the ledger record if there is none. The first writer, gateway or sweeper, decides how many tokens were used.
2. If the grant still has the lease, remove it and give back the tokens that the *stored* record did not use.

    gateway:  put record ─ ✗ killed        sweeper: put record (exists: read it) ─ release lease
    gateway:  put record ─ release lease    sweeper: put record (exists) ─ release (no lease: nothing)

So a crash at any point leaves either a lease, which the sweeper finds, or a settled request. A transaction on the grant
would make concurrent admissions of the account fail on AWS (docs/adr/0004-settlement-without-transaction.md).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sluice.domain.gateway.admission import AdmissionRequest, Grant, Refund, refund_for, without_request
from sluice.domain.gateway.contents import Kept
from sluice.domain.gateway.leases import LEASE_MS, Lease
from sluice.domain.ids import request_time_ms
from sluice.domain.settings.terms import LOCAL, NO_MODEL
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import cost_micro_usd
from sluice.frozen import frozen
from sluice.ports.gateway import Attempt, HotStore

INTERRUPTED_STATUS = 500
WITHDRAWN_STATUS = 503  # of no record: by it and no tokens, nothing is charged
RELEASE_WRITES = 4


@frozen
class Outcome:
    """How a request ended, as fields of its ledger record: HTTP status, counts in model tokens, times in ms since it
    was admitted. `settled_by`: "gateway", or "sweeper" if the gateway process died. `call` and what follows: as in
    `LedgerRecord`; a lease holds no call, because every byte of a grant counts, so the sweeper does not know it."""

    status: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    finish_reason: str | None = None
    response_time_ms: int | None = None
    ttft_ms: int | None = None
    settled_by: str = "gateway"
    call: str | None = None
    upstream: str | None = None
    upstream_micro_usd: int | None = None
    estimated: bool = False


def settle(
    store: HotStore, account_id: str, request_id: str, lease: Lease, outcome: Outcome
) -> tuple[LedgerRecord, Attempt]:
    """→ the record as stored, and the grant after the write. Safe to repeat. Errors: StoreUnavailable."""
    stored = store.put_record(_record(account_id, request_id, lease, outcome))
    return stored, release(store, stored, lease)


def settle_at_once(
    store: HotStore, account_id: str, request_id: str, lease: Lease, outcome: Outcome, kept: Kept | None
) -> LedgerRecord | None:
    """Both writes and the content by one call: → the record. None if nothing was done, and `settle` is to do it.
    Errors: StoreUnavailable, also where it may have been done; then `settle` finds the record."""
    if not store.settles_at_once:
        return None
    record = _record(account_id, request_id, lease, outcome)
    return record if store.settle(record, lease, refund_for(lease), kept) else None


def withdraw(store: HotStore, request: AdmissionRequest, lease: Lease, admitted: Grant, now_ms: int) -> Attempt:
    """Take an admission back, because the model has begun nothing and the request waits for its turn again: it is not
    charged and leaves no record. `admitted`: the grant after the admission. Not made if the request is settled already,
    or the lease has expired, because then others settle it. Errors: StoreUnavailable, also where it may have been
    made."""
    nothing = _record(request.account_id, request.request_id, lease, Outcome(WITHDRAWN_STATUS, 0, 0))
    taken_back = partial(without_request, request=request, lease=lease, grant=admitted, now_ms=now_ms)
    return release(store, nothing, lease, taken_back)


def _record(account_id: str, request_id: str, lease: Lease, outcome: Outcome) -> LedgerRecord:
    return LedgerRecord(
        account_id=account_id,
        request_id=request_id,
        token_id=lease.token_id,
        model=lease.model,
        endpoint=lease.endpoint,
        stream=lease.stream,
        cost_micro_usd=_cost(lease, outcome),
        created_ms=request_time_ms(request_id),
        period=lease.period,
        price_percent=lease.price_percent,
        **vars(outcome),
    )


def _cost(lease: Lease, outcome: Outcome) -> int | None:
    """By the prices of the admission, at most what was reserved. An attempt that failed on our side before it had any
    token costs nothing, whatever a request or a second costs."""
    if lease.prices is None:
        return None
    if outcome.status >= 500 and outcome.prompt_tokens + outcome.completion_tokens == 0:
        return 0
    counted = (outcome.prompt_tokens, outcome.completion_tokens, outcome.cached_tokens)
    exact = cost_micro_usd(lease.prices, *counted, outcome.response_time_ms or 0) or 0
    return min(exact, lease.reserved_micro_usd)


def release(
    store: HotStore, record: LedgerRecord, lease: Lease, more: Callable[[Refund], Refund] = lambda refund: refund
) -> Attempt:
    """The second write: first as if all that was charged is there, then by the grant that refused, which may be in a
    later month. What is refused each time, because limits are set again and again, is left to the sweeper. `more`: adds
    to what is given back."""
    attempt = store.release(record, lease, more(refund_for(lease)))
    for _ in range(RELEASE_WRITES - 1):
        if attempt.made or attempt.grant is None or record.request_id not in attempt.grant.leases:
            break
        attempt = store.release(record, lease, more(refund_for(lease, attempt.grant)))
    return attempt


def settle_abandoned(store: HotStore, account_id: str, request_id: str, lease: Lease) -> tuple[LedgerRecord, Attempt]:
    """Settle the request of a process that died, from its last checkpoint, which is also when its seconds end. Errors:
    StoreUnavailable."""
    return settle(store, account_id, request_id, lease, _interrupted(request_id, lease))


def settle_last(store: HotStore, request_id: str, lease: Lease, grant: Grant) -> tuple[LedgerRecord, Attempt]:
    """As `settle_abandoned`, and by the same write the account leaves the index of leases. The attempt is not made if
    another request was admitted since `grant` was read. Errors: StoreUnavailable."""
    stored = store.put_record(_record(grant.account_id, request_id, lease, _interrupted(request_id, lease)))
    return stored, store.release(stored, lease, replace(refund_for(lease, grant), last=True))


def _interrupted(request_id: str, lease: Lease) -> Outcome:
    return Outcome(
        status=INTERRUPTED_STATUS,
        prompt_tokens=lease.prompt_tokens,
        completion_tokens=lease.completion_tokens,
        # A run waited in its queue, and nobody knows for how long.
        response_time_ms=None if lease.epoch else max(0, lease.expires_ms - LEASE_MS - request_time_ms(request_id)),
        finish_reason="interrupted",
        settled_by="sweeper",
        upstream=None if lease.model == NO_MODEL else lease.upstream or LOCAL,
    )
