"""The writes on a grant: each condition's clauses named and explained. One `UpdateItem` each, no transaction.

A transaction on the grant would make concurrent admissions of the account fail with TransactionConflict on AWS.
"""

from typing import Any

from sluice.adapters.gateway import own_limits
from sluice.adapters.gateway.grant_item import ROWS, family_key, lease_attribute, lease_key, limits_attribute, number
from sluice.domain.gateway.admission import GOOD, AdmissionRequest, Forms, Grant, Limits, Refund
from sluice.domain.gateway.buckets import WINDOW_NS, charge_ns
from sluice.domain.gateway.leases import LEASE_MS, Lease, lease_shard
from sluice.domain.gateway.plans import PlanChange
from sluice.domain.usage.ledger import LedgerRecord

Write = dict[str, Any]

# --- clauses of admission's condition, in the order of `domain.admission.decide`
TOKEN_IS_LIVE = "live.#token > :now_s"  # in the allow-list (a comparison with a missing path is false) and not expired
STANDING_IS_GOOD = "standing = :good"  # not suspended
NOT_BLOCKED = "blocked_until <= :now_ms"  # not blocked for flooding
LEASE_IS_NEW = "attribute_not_exists(leases.#lease)"  # a retry after a lost answer is not charged twice
LIMITS_ARE_KNOWN = "limits = :limits"  # the values below were computed from the current limits; compared by value
LEASES = "leases"  # in clauses and updates for a row of a batch: `ROWS`
LEASES_HAVE_ROOM = "size(leases) < :concurrency"
# each bucket has two forms, because expressions have no max(): see domain/gateway/buckets.py
REQUESTS_BUSY = "tat_requests_ns > :now_ns AND tat_requests_ns <= :requests_latest_ns"  # additive: writes commute
REQUESTS_IDLE = "tat_requests_ns <= :now_ns"  # the bucket is full, so the next charge starts from now
TOKENS_BUSY = "tat_tokens_ns > :now_ns AND tat_tokens_ns <= :tokens_latest_ns"
TOKENS_IDLE = "tat_tokens_ns <= :now_ns"
PERIOD_SAME = "period = :period AND period_tokens <= :quota_latest_tokens"  # the month's quota has room
PERIOD_NEW = "period < :period"  # the first request of a month; its fit into the quota was checked before
NO_ROWS = f"(attribute_not_exists({ROWS}) OR size({ROWS}) = :none)"
CLOSED = "attribute_not_exists(account_id)"  # never holds for an existing item, so the store returns the grant

# --- what admission charges
TAKE_REQUESTS = {True: "tat_requests_ns = tat_requests_ns + :charged_requests_ns", False: "tat_requests_ns = :requests_from_now_ns"}  # fmt: skip  # noqa: E501
TAKE_TOKENS = {True: "tat_tokens_ns = tat_tokens_ns + :charged_tokens_ns", False: "tat_tokens_ns = :tokens_from_now_ns"}
TAKE_PERIOD = {True: "period = :period, period_tokens = :reserve", False: "period_tokens = period_tokens + :reserve"}
# The attribute `busy_shard` and the index `busy` keep the names of existing tables.
ADD_LEASE = "leases.#lease = :lease, busy_shard = :busy_shard"


def admission(
    request: AdmissionRequest, guess: Grant, forms: Forms, lease: Lease, now_ns: int, change: PlanChange | None = None
) -> Write:
    """The one write that admits. `guess` gives limits and the period; only its forms and limits must be true. `change`:
    limits to write with it, by which the request is judged."""
    limits, now_ms = change.limits if change else guess.limits, now_ns // 1_000_000
    names = {
        "#token": request.token_id,
        "#lease": lease_key(request.request_id),
        "#family": family_key(request.of_family),
    }
    use = guess.token_limits.get(request.of_family)
    values: dict[str, Any] = {
        ":now_s": number(now_ms // 1000),
        ":now_ms": number(now_ms),
        ":good": {"S": GOOD},
        ":limits": limits_attribute(guess.limits),
    }
    known, plan = own_limits.known(use), own_limits.plan_known(guess)
    values |= known.values | plan.values
    clauses = [TOKEN_IS_LIVE, STANDING_IS_GOOD, NOT_BLOCKED, LEASE_IS_NEW, LIMITS_ARE_KNOWN]
    clauses += known.clauses + plan.clauses
    if forms.closed:
        return _update(
            request.account_id, [*clauses, CLOSED], "SET limits = :limits", names, values, row=request.is_row
        )

    requests_clause, requests_values = _requests_bucket(limits, now_ns, busy=forms.requests_busy)
    counts = request.counts
    values |= (requests_values if counts else {}) | {
        ":concurrency": number(limits.concurrency),
        ":lease": lease_attribute(lease),
        ":busy_shard": {"S": lease_shard(request.account_id)},
        ":period": number(lease.period),
        ":reserve": number(request.reserve_tokens),
    }
    clauses += [LEASES_HAVE_ROOM, *([requests_clause] if counts else [])]
    takes: list[str] = []
    if not request.is_row:
        tokens_clause, tokens_values = _tokens_bucket(lease, now_ns, busy=forms.tokens_busy)
        clauses.append(tokens_clause)
        takes.append(TAKE_TOKENS[forms.tokens_busy])
        values |= tokens_values
    if forms.new_period:
        clauses.append(PERIOD_NEW)
    else:
        clauses.append(PERIOD_SAME)
        values[":quota_latest_tokens"] = number(limits.monthly_tokens - request.reserve_tokens)
    takes += [TAKE_REQUESTS[forms.requests_busy]] if counts else []
    takes += [TAKE_PERIOD[forms.new_period], ADD_LEASE]
    parts = []
    if request.reserve_micro_usd:
        budget = change.monthly_micro_usd if change else guess.monthly_micro_usd
        parts.append(own_limits.money(request, guess.monthly_micro_usd, budget, new=forms.new_money))
    if use is not None and forms.own is not None:
        parts.append(own_limits.token(request, use, forms.own, lease, now_ns))
    removes = ""
    if change is not None:
        parts.append(own_limits.new_plan(guess, change))
        names["#plan"] = "plan"
        removes = " REMOVE ml" if change.monthly_micro_usd is None else ""
    for part in parts:
        clauses += part.clauses
        takes += part.takes
        values |= part.values
    return _update(request.account_id, clauses, "SET " + ", ".join(takes) + removes, names, values, row=request.is_row)


def _requests_bucket(limits: Limits, now_ns: int, *, busy: bool) -> tuple[str, dict[str, Any]]:
    """The clause for one request a minute, and the values of the clause and of `TAKE_REQUESTS`."""
    charged_ns = charge_ns(1, limits.rpm)
    if not busy:
        return REQUESTS_IDLE, {":requests_from_now_ns": number(now_ns + charged_ns)}
    latest_ns = now_ns + WINDOW_NS - charged_ns
    return REQUESTS_BUSY, {":charged_requests_ns": number(charged_ns), ":requests_latest_ns": number(latest_ns)}


def _tokens_bucket(lease: Lease, now_ns: int, *, busy: bool) -> tuple[str, dict[str, Any]]:
    """The same for the tokens a minute, and `TAKE_TOKENS`."""
    charged_ns = lease.charged_tokens_ns
    if not busy:
        return TOKENS_IDLE, {":now_ns": number(now_ns), ":tokens_from_now_ns": number(now_ns + charged_ns)}
    latest_ns = now_ns + WINDOW_NS - charged_ns
    taken = {":charged_tokens_ns": number(charged_ns), ":tokens_latest_ns": number(latest_ns)}
    return TOKENS_BUSY, {":now_ns": number(now_ns), **taken}


def malformed(guess: Grant, token_id: str, family: str, now_ns: int) -> Write:
    """Charge a request that is wrong in form: one request a minute, without a lease, tokens or quota."""
    limits, busy, use = guess.limits, guess.tat_requests_ns > now_ns, guess.token_limits.get(family)
    names, known = {"#token": token_id, "#family": family_key(family)}, own_limits.known(use)
    values: dict[str, Any] = {
        ":now_s": number(now_ns // 1_000_000_000),
        ":now_ms": number(now_ns // 1_000_000),
        ":good": {"S": GOOD},
        ":limits": limits_attribute(limits),
        **known.values,
    }
    clauses = [TOKEN_IS_LIVE, STANDING_IS_GOOD, NOT_BLOCKED, LIMITS_ARE_KNOWN, *known.clauses]
    if limits.rpm == 0 or (use and use.limits.rpm == 0):
        return _update(guess.account_id, [*clauses, CLOSED], "SET limits = :limits", names, values)
    clause, bucket_values = _requests_bucket(limits, now_ns, busy=busy)
    values |= {":now_ns": number(now_ns), **bucket_values}
    clauses, takes = [*clauses, clause], [TAKE_REQUESTS[busy]]
    if use is not None:
        new_day = use.charged_day(now_ns) > use.day
        own = own_limits.requests(use, now_ns, busy=use.tat_requests_ns > now_ns, new_day=new_day)
        clauses, takes, values = clauses + own.clauses, takes + own.takes, values | own.values
    return _update(guess.account_id, clauses, "SET " + ", ".join(takes), names, values)


# --- checkpoint: the API token is live, the account in good standing, and the lease still held
LEASE_IS_HELD = "attribute_exists(leases.#lease)"  # not settled by the sweeper in the meantime
LEASE_IS_OURS = "leases.#lease.n = :epoch"  # of a run: nobody has taken it over in the meantime
LEASE_IS_OVER = "leases.#lease.e <= :now_ms"  # the attempt that held it is dead, or too late


def _held(lease: Lease) -> tuple[str, dict[str, Any]]:
    """The clause that the lease is held, and its values."""
    return (LEASE_IS_OURS, {":epoch": number(lease.epoch)}) if lease.epoch else (LEASE_IS_HELD, {})


def checkpoint(account_id: str, request_id: str, lease: Lease, now_ms: int, *, settling: bool = False) -> Write:
    """Renew the lease and record the counts so far, if the API token and the account are still valid. `settling`: also
    if they are not."""
    progress = "SET leases.#lease.e = :expires_ms, leases.#lease.p = :prompt, leases.#lease.c = :completion"
    held, values = _held(lease)
    names, clauses = {"#lease": lease_key(request_id)}, [held]
    if not settling:
        clauses += [TOKEN_IS_LIVE, STANDING_IS_GOOD]
        names["#token"] = lease.token_id
        values |= {":now_s": number(now_ms // 1000), ":good": {"S": GOOD}}
    if lease.upstream:
        progress += ", leases.#lease.s = :upstream"
        values[":upstream"] = {"S": lease.upstream}
    values |= {
        ":expires_ms": number(now_ms + LEASE_MS),
        ":prompt": number(lease.prompt_tokens),
        ":completion": number(lease.completion_tokens),
    }
    return _update(account_id, clauses, progress, names, values, row=lease.is_row)


def take_over(account_id: str, request_id: str, lease: Lease, now_ms: int) -> Write:
    """Give a run's expired lease to its next epoch. What the dead attempt counted stays in it."""
    held, values = _held(lease)
    return _update(
        account_id,
        [held, LEASE_IS_OVER],
        "SET leases.#lease.n = :next, leases.#lease.e = :expires_ms",
        {"#lease": lease_key(request_id)},
        {
            **values,
            ":now_ms": number(now_ms),
            ":next": number(lease.epoch + 1),
            ":expires_ms": number(now_ms + LEASE_MS),
        },
        row=lease.is_row,
    )


# --- settlement, second write: remove the lease and give back unused tokens
SAME_PERIOD = "period = :period"  # a later month's quota was not charged for this request
LEASE_IS_VALID = "leases.#lease.e > :withdrawn_ms"  # no other process may be settling the request just now
LEASE_IS_LAST = "size(leases) = :one"  # nor was another request admitted, whose lease the index has to find


def settlement(record: LedgerRecord, lease: Lease, wanted: Refund) -> Write:
    used_tokens, names = record.total_tokens, {"#lease": lease_key(record.request_id)}
    part = own_limits.refund(lease, used_tokens, record.cost_micro_usd or 0, wanted)
    held, values = _held(lease)
    clauses, takes = [held, *part.clauses], ["tat_tokens_ns = tat_tokens_ns - :unused_ns", *part.takes]
    values |= {":unused_ns": number(lease.unused_ns(used_tokens)), **part.values}
    if wanted.requests_ns:
        takes.append("tat_requests_ns = tat_requests_ns - :requests_ns")
        values[":requests_ns"] = number(wanted.requests_ns)
    if wanted.withdrawn_ms:
        clauses.append(LEASE_IS_VALID)
        values[":withdrawn_ms"] = number(wanted.withdrawn_ms)
    if wanted.quota:
        clauses.append(SAME_PERIOD)
        takes.append("period_tokens = period_tokens - :unused")
    if wanted.quota or wanted.money or wanted.family_month:
        values[":period"] = number(lease.period)
    if wanted.quota or wanted.family_month:
        values[":unused"] = number(lease.reserved_tokens - used_tokens)
    if wanted.family:
        names["#family"] = family_key(lease.family)
    removed = "leases.#lease"
    if wanted.last:
        clauses += [LEASE_IS_LAST, NO_ROWS]
        values |= {":one": number(1), ":none": number(0)}
        removed += ", busy_shard"
    return _update(
        record.account_id, clauses, f"SET {', '.join(takes)} REMOVE {removed}", names, values, row=lease.is_row
    )


# --- a block for flooding
def block(grant: Grant, seconds: int, now_ms: int) -> Write:
    """The write that blocks. Its condition fails if another process has blocked the account first."""
    return _update(
        grant.account_id,
        ["blocked_until = :blocked_before"],
        "SET blocked_until = :until, block_seconds = :seconds",
        {},
        {
            ":blocked_before": number(grant.blocked_until_ms),
            ":until": number(now_ms + seconds * 1000),
            ":seconds": number(seconds),
        },
    )


def _update(
    account_id: str,
    clauses: list[str],
    update: str,
    names: dict[str, str],
    values: dict[str, Any],
    *,
    row: bool = False,
) -> Write:
    """`row`: the lease is one of a row of a batch."""
    if row:
        clauses, update = [clause.replace(LEASES, ROWS) for clause in clauses], update.replace(LEASES, ROWS)
    write: Write = {
        "Key": {"account_id": {"S": account_id}},
        "ConditionExpression": " AND ".join(clauses),
        "UpdateExpression": update,
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if names:
        write["ExpressionAttributeNames"] = names
    return write
