"""What a request wants of its account's grant, in which form it is asked for, and the lease that it gets.

Pure functions; the store makes the decision atomic, and `decision.py` says why it refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sluice.domain.gateway import buckets
from sluice.domain.gateway.leases import LEASE_MS, Lease
from sluice.domain.gateway.publishable import PublicTerms, day_number
from sluice.domain.periods import period_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import Prices
from sluice.frozen import frozen

GOOD = "good"


@frozen
class Limits:
    """Requests a minute, model tokens a minute, concurrent leases, model tokens a month. 0 allows none."""

    rpm: int
    tpm: int
    concurrency: int
    monthly_tokens: int

    @property
    def any_zero(self) -> bool:
        return 0 in (self.rpm, self.tpm, self.concurrency, self.monthly_tokens)


@frozen
class TokenLimits:
    """The limits of one API token, under the account's: requests and model tokens a minute, model tokens and
    micro-dollars a month. None: the account's limit is the only one. 0 allows none."""

    rpm: int | None = None
    tpm: int | None = None
    monthly_tokens: int | None = None
    monthly_micro_usd: int | None = None

    @property
    def any_zero(self) -> bool:
        """Of dollars, 0 allows what costs none."""
        return 0 in (self.rpm, self.tpm, self.monthly_tokens)


@frozen
class TokenUse:
    """The limits of a family of API tokens (an API token and those that it was rotated into), and what they have used
    together: `tokens` and `micro_usd` in the month `period`, those of running requests included. `public`: of a
    publishable one, which has had `day_requests` on the day `day` (days since 1970, UTC)."""

    limits: TokenLimits
    tat_requests_ns: int = 0
    tat_tokens_ns: int = 0
    period: int = 0
    tokens: int = 0
    micro_usd: int = 0
    public: PublicTerms | None = None
    day: int = 0
    day_requests: int = 0

    def charged_day(self, now_ns: int) -> int:
        """Never earlier than the one that is counted, because the clocks of processes differ."""
        return max(self.day, day_number(now_ns))


@frozen
class Grant:
    """An account's admission state. `live`: API token id → expiry in Unix seconds. `token_limits`: by the family, of
    the API tokens that have limits of their own. `monthly_micro_usd`: None for no bound. `period_micro_usd`: used in
    `period`, what running requests reserve included; `money_period`: the last month in which money was charged.

    `plan`: empty for the default one. `plan_version`: of the settings by which `limits` were set, 0 if another plan was
    chosen since, None before any settings. `own`: limits that an admin set for this account alone."""

    account_id: str
    live: Mapping[str, int]
    standing: str
    limits: Limits
    tat_requests_ns: int = 0
    tat_tokens_ns: int = 0
    leases: Mapping[str, Lease] = field(default_factory=dict)
    period: int = 0
    period_tokens: int = 0
    blocked_until_ms: int = 0
    block_seconds: int = 0
    store_content: bool = True
    token_limits: Mapping[str, TokenUse] = field(default_factory=dict)
    monthly_micro_usd: int | None = None
    period_micro_usd: int = 0
    money_period: int = 0
    plan: str = ""
    plan_version: int | None = None
    own: Mapping[str, int] | None = None

    def running(self, *, rows: bool) -> int:
        """How many leases there are of rows of batches, or of all else."""
        return sum(lease.is_row == rows for lease in self.leases.values())

    @property
    def use(self) -> TokenUse:
        """The account's own limits and counters, in the form of an API token's."""
        limits = self.limits
        return TokenUse(
            TokenLimits(limits.rpm, limits.tpm, limits.monthly_tokens, self.monthly_micro_usd),
            self.tat_requests_ns,
            self.tat_tokens_ns,
            self.period,
            self.period_tokens,
            self.period_micro_usd,
        )


@frozen
class AdmissionRequest:
    """What one request wants; `reserve_tokens` is a safe upper bound of prompt and completion together, and
    `reserve_micro_usd` of its cost by `prices`. `family`: of its API token; empty: the token's own id.
    `upstream`: the model server that is asked first; empty for `local`. `epoch`: of a run, 0 for all others. `origin`:
    of the page that asks with a publishable API token, empty if none is named; None for other tokens. `at_once`: of a
    run that is executed where it was submitted; others counted as a request a minute before. `price_percent`: of a row
    of a batch, what it costs of the model's prices; None for all else."""

    account_id: str
    request_id: str
    token_id: str
    reserve_tokens: int
    model: str
    endpoint: str
    stream: bool
    family: str = ""
    reserve_micro_usd: int = 0
    prices: Prices | None = None
    upstream: str = ""
    epoch: int = 0
    origin: str | None = None
    at_once: bool = False
    price_percent: int | None = None

    @property
    def is_row(self) -> bool:
        """Rows count against no requests and tokens a minute, and have a concurrency of their own."""
        return self.price_percent is not None

    @property
    def counts(self) -> bool:
        """Whether its admission counts as a request a minute."""
        return self.epoch == 0 or self.at_once

    @property
    def of_family(self) -> str:
        return self.family or self.token_id


@dataclass(frozen=True)
class TokenForms:
    """The same for the limits of the API token's family."""

    requests_busy: bool
    tokens_busy: bool
    new_period: bool
    new_day: bool = False


@frozen
class Forms:
    """The form of each condition. Expressions have no max(), so each bucket and the period have two forms.

    `closed`: a limit is 0, or the request is larger than the bucket, or its page's origin is not allowed, so no
    arithmetic could admit it; the write is made with a condition that cannot hold, because the guess may be stale and
    the refusal must come from the store.
    `new_money`: the first request of the month that costs money. `own`: None for an API token without limits.
    """

    requests_busy: bool
    tokens_busy: bool
    new_period: bool
    closed: bool
    new_money: bool = False
    own: TokenForms | None = None


@frozen
class Refund:
    """Which counters still hold what a request reserved: those of a later month do not, nor those of an API token whose
    limits were removed. `family`: its limits are there; `family_month`: they count the request's month.
    `requests_ns`, `family_requests_ns`: what to give back of the requests a minute, too; `family_day`: and one request
    of this day. `withdrawn_ms`: when an admission was taken back (Unix ms); 0 for a settlement. `last`: only if the
    account has no other lease, and then it leaves the index of leases, too."""

    quota: bool
    money: bool
    family: bool
    family_month: bool
    requests_ns: int = 0
    family_requests_ns: int = 0
    family_day: int = 0
    withdrawn_ms: int = 0
    last: bool = False


def charge_period(grant_period: int, now_ms: int) -> int:
    """The month to charge, never earlier than the grant's month, because the clocks of processes differ."""
    return max(grant_period, period_of(now_ms))


def forms_for(grant: Grant, request: AdmissionRequest, now_ns: int) -> Forms:
    limits, own = grant.limits, grant.token_limits.get(request.of_family)
    period = charge_period(grant.period, now_ns // 1_000_000)
    return Forms(
        requests_busy=grant.tat_requests_ns > now_ns,
        tokens_busy=grant.tat_tokens_ns > now_ns,
        new_period=period > grant.period,
        closed=limits.any_zero
        or request.reserve_tokens > limits.monthly_tokens
        or (request.reserve_tokens > limits.tpm and not request.is_row)
        or is_over(request.reserve_micro_usd, grant.monthly_micro_usd)
        or (own is not None and _is_closed(own.limits, request))
        or not is_welcome(own, request.origin),
        new_money=request.reserve_micro_usd > 0 and period > grant.money_period,
        own=_token_forms(own, period, now_ns) if own else None,
    )


def _token_forms(own: TokenUse, period: int, now_ns: int) -> TokenForms:
    new_day = own.public is not None and own.charged_day(now_ns) > own.day
    return TokenForms(own.tat_requests_ns > now_ns, own.tat_tokens_ns > now_ns, period > own.period, new_day)


def is_welcome(use: TokenUse | None, origin: str | None) -> bool:
    """Whether a publishable API token may be used from this origin. Without its terms, from none. `origin`: None for
    other tokens, which may be used from everywhere."""
    return origin is None or (use is not None and use.public is not None and origin in use.public.origins)


def is_over(wanted: int, limit: int | None) -> bool:
    return limit is not None and wanted > limit


def _is_closed(limits: TokenLimits, request: AdmissionRequest) -> bool:
    return (
        limits.any_zero
        or (is_over(request.reserve_tokens, limits.tpm) and not request.is_row)
        or is_over(request.reserve_tokens, limits.monthly_tokens)
        or is_over(request.reserve_micro_usd, limits.monthly_micro_usd)
    )


def refund_for(lease: Lease, grant: Grant | None = None) -> Refund:
    """What a settlement gives back by `grant`, None if it was not read: then every counter is taken to be there."""
    if grant is None:
        return Refund(True, lease.reserved_micro_usd > 0, bool(lease.family), bool(lease.family))
    own = grant.token_limits.get(lease.family)
    return Refund(
        quota=grant.period == lease.period,
        money=lease.reserved_micro_usd > 0 and grant.money_period == lease.period,
        family=own is not None,
        family_month=own is not None and own.period == lease.period,
    )


def without_lease(grant: Grant, lease: Lease, record: LedgerRecord) -> Grant:
    """The grant after a settlement of which every counter was there (`refund_for(lease)`)."""
    used, cost = record.total_tokens, record.cost_micro_usd or 0
    unused, saved = lease.reserved_tokens - used, lease.reserved_micro_usd - cost
    own, uses = grant.token_limits.get(lease.family), grant.token_limits
    if own is not None:
        tat_ns = own.tat_tokens_ns - lease.family_unused_ns(used)
        after = replace(own, tat_tokens_ns=tat_ns, tokens=own.tokens - unused, micro_usd=own.micro_usd - saved)
        uses = {**uses, lease.family: after}
    changed = {
        "tat_tokens_ns": grant.tat_tokens_ns - lease.unused_ns(used),
        "leases": {name: held for name, held in grant.leases.items() if name != record.request_id},
        "period_tokens": grant.period_tokens - unused,
        "period_micro_usd": grant.period_micro_usd - saved,
        "token_limits": uses,
    }
    return Grant(**(vars(grant) | changed))  # `replace` takes three times as long


def without_request(refund: Refund, request: AdmissionRequest, lease: Lease, grant: Grant, now_ms: int) -> Refund:
    """The refund of an admission that is taken back: the request does not count, unless it counted before. `grant`: as
    it stood after it."""
    own = grant.token_limits.get(lease.family)
    own_rpm = own.limits.rpm if own and refund.family and request.counts else None
    rpm = grant.limits.rpm if request.counts else 0
    counts_day = own and own.public and refund.family and own.day == day_number(now_ms * 1_000_000)
    return replace(
        refund,
        requests_ns=buckets.charge_ns(1, rpm) if rpm else 0,
        family_requests_ns=buckets.charge_ns(1, own_rpm) if own_rpm else 0,
        family_day=own.day if own and counts_day else 0,
        withdrawn_ms=now_ms,
    )


def lease_for(request: AdmissionRequest, guess: Grant, now_ns: int) -> Lease:
    """The lease an admission would write: charged by the guessed limits, to the later of our month and the grant's."""
    now_ms = now_ns // 1_000_000
    tpm, family = 0 if request.is_row else guess.limits.tpm, request.of_family
    own = guess.token_limits.get(family)
    own_tpm = own.limits.tpm if own and not request.is_row else None
    return Lease(
        expires_ms=now_ms + LEASE_MS,
        reserved_tokens=request.reserve_tokens,
        charged_tokens_ns=buckets.charge_ns(request.reserve_tokens, tpm) if tpm else 0,
        period=charge_period(guess.period, now_ms),
        token_id=request.token_id,
        model=request.model,
        endpoint=request.endpoint,
        stream=request.stream,
        reserved_micro_usd=request.reserve_micro_usd,
        prices=request.prices,
        family=family if own else "",
        family_tokens_ns=buckets.charge_ns(request.reserve_tokens, own_tpm) if own_tpm else 0,
        upstream=request.upstream,
        epoch=request.epoch,
        price_percent=request.price_percent,
    )
