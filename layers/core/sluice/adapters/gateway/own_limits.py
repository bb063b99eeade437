"""The parts of admission's and settlement's write that few requests need: money, limits of the API token, a new plan.

A part is clauses of the condition, assignments of the update, and their values. Each is generated only where it
applies, so that a plain API token without a price costs one clause more than without this module.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sluice.adapters.gateway.grant_item import (
    limits_attribute,
    number,
    public_terms_attribute,
    token_limits_attribute,
)
from sluice.domain.gateway.admission import AdmissionRequest, Grant, Refund, TokenForms, TokenUse
from sluice.domain.gateway.buckets import WINDOW_NS, charge_ns
from sluice.domain.gateway.leases import Lease
from sluice.domain.gateway.plans import PlanChange


class Part(NamedTuple):
    clauses: list[str]
    takes: list[str]
    values: dict[str, Any]


# --- money of the account: `ml` micro-dollars a month, of which `pu` are used in the month `pp`
BUDGET_IS_KNOWN = "ml = :budget"
NO_BUDGET = "attribute_not_exists(ml)"
MONEY_SAME = "pp = :period"
MONEY_NEW = "(attribute_not_exists(pp) OR pp < :period)"  # the first cost of a month; its fit was checked before
BUDGET_HAS_ROOM = "pu <= :budget_latest"
TAKE_MONEY = {True: "pp = :period, pu = :micro_usd", False: "pu = pu + :micro_usd"}

# --- limits of an API token, in the map `tl` by its family
TOKEN_IS_PLAIN = "attribute_not_exists(tl.#family)"  # no limits were set since the guess
TOKEN_LIMITS_ARE_KNOWN = "tl.#family.l = :token_limits"  # compared by value, as the account's
TOKEN_REQUESTS = {
    True: "tl.#family.a > :now_ns AND tl.#family.a <= :token_requests_latest_ns",
    False: "tl.#family.a <= :now_ns",
}
TOKEN_TOKENS = {
    True: "tl.#family.b > :now_ns AND tl.#family.b <= :token_tokens_latest_ns",
    False: "tl.#family.b <= :now_ns",
}
TOKEN_PERIOD = {True: "tl.#family.p < :period", False: "tl.#family.p = :period"}
TOKEN_QUOTA_HAS_ROOM = "tl.#family.q <= :token_quota_latest"
TOKEN_BUDGET_HAS_ROOM = "tl.#family.v <= :token_budget_latest"
TAKE_TOKEN_REQUESTS = {
    True: "tl.#family.a = tl.#family.a + :token_requests_ns",
    False: "tl.#family.a = :token_requests_ns",
}
TAKE_TOKEN_TOKENS = {
    True: "tl.#family.b = tl.#family.b + :token_tokens_ns",
    False: "tl.#family.b = :token_tokens_ns",
}
TAKE_TOKEN_PERIOD = {
    True: "tl.#family.p = :period, tl.#family.q = :reserve, tl.#family.v = :micro_usd",
    False: "tl.#family.q = tl.#family.q + :reserve, tl.#family.v = tl.#family.v + :micro_usd",
}

# --- a publishable token: its origins and limits, and requests of all its visitors a UTC day
PUBLIC_TERMS_ARE_KNOWN = "tl.#family.w = :public_terms"  # so an origin that was removed is refused at once
TOKEN_DAY = {True: "tl.#family.e < :day", False: "tl.#family.e = :day"}
DAY_HAS_ROOM = "tl.#family.n <= :day_latest"
TAKE_DAY = {True: "tl.#family.e = :day, tl.#family.n = :one", False: "tl.#family.n = tl.#family.n + :one"}


def money(request: AdmissionRequest, known: int | None, budget: int | None, *, new: bool) -> Part:
    """For a request that costs something. `known`: the budget that the grant has; `budget`: the one to judge by."""
    micro_usd = request.reserve_micro_usd
    clauses = [NO_BUDGET if known is None else BUDGET_IS_KNOWN, MONEY_NEW if new else MONEY_SAME]
    values = {":micro_usd": number(micro_usd)}
    if known is not None:
        values[":budget"] = number(known)
    if budget is not None and not new:
        clauses.append(BUDGET_HAS_ROOM)
        values[":budget_latest"] = number(budget - micro_usd)
    return Part(clauses, [TAKE_MONEY[new]], values)


# --- the account's plan: `plan` is its name, `pv` the version of the settings by which `limits` were set, `own` what an
# admin set for this account alone
NO_PLAN_YET = "attribute_not_exists(pv)"
PLAN_IS_KNOWN = "pv = :plan_version"  # nobody has written limits by later settings, or chosen another plan
NO_NAME, NAME_IS_KNOWN = "attribute_not_exists(#plan)", "#plan = :plan"
NO_OWN, OWN_IS_KNOWN = "attribute_not_exists(own)", "own = :own"


def plan_known(guess: Grant) -> Part:
    if guess.plan_version is None:
        return Part([NO_PLAN_YET], [], {})
    return Part([PLAN_IS_KNOWN], [], {":plan_version": number(guess.plan_version)})


def new_plan(guess: Grant, change: PlanChange) -> Part:
    """Write the limits of newer settings. Needs the name `#plan`."""
    values: dict[str, Any] = {":new_limits": limits_attribute(change.limits), ":new_version": number(change.version)}
    clauses, takes = [NO_NAME if not guess.plan else NAME_IS_KNOWN], ["limits = :new_limits, pv = :new_version"]
    clauses.append(NO_OWN if guess.own is None else OWN_IS_KNOWN)
    if guess.plan:
        values[":plan"] = {"S": guess.plan}
    if guess.own is not None:
        values[":own"] = own_attribute(guess.own)
    if change.own is not None:
        takes.append("own = :new_own")
        values[":new_own"] = own_attribute(change.own)
    if change.monthly_micro_usd is not None:
        takes.append("ml = :new_budget")
        values[":new_budget"] = number(change.monthly_micro_usd)
    return Part(clauses, takes, values)


def own_attribute(own: Mapping[str, int]) -> dict[str, Any]:
    return {"M": {name: number(limit) for name, limit in own.items()}}


def token(request: AdmissionRequest, use: TokenUse, forms: TokenForms, lease: Lease, now_ns: int) -> Part:
    """For an API token with limits of its own. Tokens and dollars of the month are counted even where they have no
    limit, so that one which is set later counts the whole month."""
    limits = use.limits
    if request.counts:
        clauses, takes, values = requests(use, now_ns, busy=forms.requests_busy, new_day=forms.new_day)
    else:  # a run, which counted when it was submitted
        clauses, takes, values = Part([], [], {})
    if limits.tpm is not None and not request.is_row:
        charged_ns, busy = lease.family_tokens_ns, forms.tokens_busy
        clauses.append(TOKEN_TOKENS[busy])
        takes.append(TAKE_TOKEN_TOKENS[busy])
        values[":token_tokens_ns"] = number(charged_ns if busy else now_ns + charged_ns)
        if busy:
            values[":token_tokens_latest_ns"] = number(now_ns + WINDOW_NS - charged_ns)
    clauses.append(TOKEN_PERIOD[forms.new_period])
    takes.append(TAKE_TOKEN_PERIOD[forms.new_period])
    values[":micro_usd"] = number(request.reserve_micro_usd)
    if not forms.new_period and limits.monthly_tokens is not None:
        clauses.append(TOKEN_QUOTA_HAS_ROOM)
        values[":token_quota_latest"] = number(limits.monthly_tokens - request.reserve_tokens)
    if not forms.new_period and limits.monthly_micro_usd is not None and request.reserve_micro_usd:
        clauses.append(TOKEN_BUDGET_HAS_ROOM)
        values[":token_budget_latest"] = number(limits.monthly_micro_usd - request.reserve_micro_usd)
    return Part(clauses, takes, values)


def requests(use: TokenUse, now_ns: int, *, busy: bool, new_day: bool) -> Part:
    """One request of the minute and of the day, as far as they are limited."""
    clauses, takes, values = _day(use, now_ns, new=new_day) if use.public else Part([], [], {})
    if use.limits.rpm is not None:
        charged_ns = charge_ns(1, use.limits.rpm)
        clauses.append(TOKEN_REQUESTS[busy])
        takes.append(TAKE_TOKEN_REQUESTS[busy])
        values[":token_requests_ns"] = number(charged_ns if busy else now_ns + charged_ns)
        if busy:
            values[":token_requests_latest_ns"] = number(now_ns + WINDOW_NS - charged_ns)
    return Part(clauses, takes, values)


def _day(use: TokenUse, now_ns: int, *, new: bool) -> Part:
    values = {":day": number(use.charged_day(now_ns)), ":one": number(1)}
    if new:
        return Part([TOKEN_DAY[True]], [TAKE_DAY[True]], values)
    most = use.public.daily_requests if use.public else 0
    return Part([TOKEN_DAY[False], DAY_HAS_ROOM], [TAKE_DAY[False]], values | {":day_latest": number(most - 1)})


def known(use: TokenUse | None) -> Part:
    """Whether the API token has the limits that the guess says, or none."""
    if use is None:
        return Part([TOKEN_IS_PLAIN], [], {})
    clauses, values = [TOKEN_LIMITS_ARE_KNOWN], {":token_limits": token_limits_attribute(use.limits)}
    if use.public:
        clauses.append(PUBLIC_TERMS_ARE_KNOWN)
        values[":public_terms"] = public_terms_attribute(use.public)
    return Part(clauses, [], values)


# --- settlement
TOKEN_HAS_LIMITS = "attribute_exists(tl.#family)"


def refund(lease: Lease, used_tokens: int, used_micro_usd: int, wanted: Refund) -> Part:
    """Needs `:period`, `:unused` and `#family`."""
    clauses, takes, values = Part([], [], {})
    if wanted.money or wanted.family_month:
        values[":unused_micro_usd"] = number(lease.reserved_micro_usd - used_micro_usd)
    if wanted.money:
        clauses.append(MONEY_SAME)
        takes.append("pu = pu - :unused_micro_usd")
    if wanted.family:
        clauses.append(TOKEN_PERIOD[False] if wanted.family_month else TOKEN_HAS_LIMITS)
        takes.append("tl.#family.b = tl.#family.b - :token_unused_ns")
        values[":token_unused_ns"] = number(lease.family_unused_ns(used_tokens))
    if wanted.family_requests_ns:
        takes.append("tl.#family.a = tl.#family.a - :token_requests_ns")
        values[":token_requests_ns"] = number(wanted.family_requests_ns)
    if wanted.family_day:
        clauses.append(TOKEN_DAY[False])
        takes.append("tl.#family.n = tl.#family.n - :one")
        values |= {":day": number(wanted.family_day), ":one": number(1)}
    if wanted.family_month:
        takes.append("tl.#family.q = tl.#family.q - :unused, tl.#family.v = tl.#family.v - :unused_micro_usd")
    return Part(clauses, takes, values)
