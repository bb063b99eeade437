"""The rules that admit or refuse a request by the account's grant. Pure functions; the store makes the decision atomic.

`decide` is the conditional write (`adapters/gateway/grant_expressions.py`) in Python: it finds the reason after the
store has refused, and property tests compare the store with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.domain import errors
from sluice.domain.gateway import buckets
from sluice.domain.gateway.leases import LEASE_MS, Lease
from sluice.domain.periods import period_ends_ms, period_of
from sluice.domain.usage.pricing import Prices

GOOD = "good"
MAX_BLOCK_SECONDS = 900
FIRST_BLOCK_SECONDS = 60
FLOOD_FACTOR = 10  # a flood is more refusals within a minute than this many times the request limit


@dataclass(frozen=True)
class Limits:
    """Requests a minute, model tokens a minute, concurrent leases, model tokens a month. 0 allows none."""

    rpm: int
    tpm: int
    concurrency: int
    monthly_tokens: int

    @property
    def any_zero(self) -> bool:
        return 0 in (self.rpm, self.tpm, self.concurrency, self.monthly_tokens)


@dataclass(frozen=True)
class TokenLimits:
    """The limits of one API token, under the account's: requests and model tokens a minute, model tokens and
    micro-dollars a month. None: the account's limit is the only one. 0 allows none."""

    rpm: int | None = None
    tpm: int | None = None
    monthly_tokens: int | None = None
    monthly_micro_usd: int | None = None

    @property
    def any_zero(self) -> bool:
        return 0 in (self.rpm, self.tpm, self.monthly_tokens, self.monthly_micro_usd)


@dataclass(frozen=True)
class TokenUse:
    """The limits of a family of API tokens (an API token and those that it was rotated into), and what they have used
    together: `tokens` and `micro_usd` in the month `period`, those of running requests included."""

    limits: TokenLimits
    tat_requests_ns: int = 0
    tat_tokens_ns: int = 0
    period: int = 0
    tokens: int = 0
    micro_usd: int = 0


@dataclass(frozen=True)
class Grant:
    """An account's admission state. `live`: API token id → expiry in Unix seconds. `token_limits`: by the family, of
    the API tokens that have limits of their own. `monthly_micro_usd`: None for no bound. `period_micro_usd`: used in
    `period`, what running requests reserve included; `money_period`: the last month in which money was charged."""

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


@dataclass(frozen=True)
class AdmissionRequest:
    """What one request wants; `reserve_tokens` is a safe upper bound of prompt and completion together, and
    `reserve_micro_usd` of its cost by `prices`. `family`: of its API token; empty: the token's own id."""

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


@dataclass(frozen=True)
class Forms:
    """The form of each condition. Expressions have no max(), so each bucket and the period have two forms.

    `closed`: a limit is 0, or the request is larger than the bucket, so no arithmetic could admit it; the write is made
    with a condition that cannot hold, because the guess may be stale and the refusal must come from the store.
    """

    requests_busy: bool
    tokens_busy: bool
    new_period: bool
    closed: bool


def charge_period(grant_period: int, now_ms: int) -> int:
    """The month to charge, never earlier than the grant's month, because the clocks of processes differ."""
    return max(grant_period, period_of(now_ms))


def forms_for(grant: Grant, request: AdmissionRequest, now_ns: int) -> Forms:
    limits = grant.limits
    return Forms(
        requests_busy=grant.tat_requests_ns > now_ns,
        tokens_busy=grant.tat_tokens_ns > now_ns,
        new_period=period_of(now_ns // 1_000_000) > grant.period,
        closed=limits.any_zero or request.reserve_tokens > min(limits.tpm, limits.monthly_tokens),
    )


def decide(grant: Grant, request: AdmissionRequest, now_ns: int) -> errors.SluiceError | None:
    """Why the request is refused, or None. The order is: who, whether it could ever fit, for how long, concurrency.

    Of several waits the longest is returned, because the others are then over too.
    """
    now_ms = now_ns // 1_000_000
    refusal = caller_refusal(grant, request.token_id, now_ms) or _never_fits(grant, request)
    if refusal is not None:
        return refusal
    waits = (_blocked(grant, now_ms), _quota(grant, request, now_ms), _rates(grant, request, now_ns))
    longest = max((w for w in waits if w is not None), key=lambda w: w.retry_after_seconds, default=None)
    return longest or _concurrency(grant)


def decide_malformed(grant: Grant, token_id: str, now_ns: int) -> errors.SluiceError | None:
    """Why a request that is wrong in form gets another refusal than that, or None. It takes no capacity but a request a
    minute, so quota, tokens and concurrency do not matter."""
    now_ms = now_ns // 1_000_000
    waits = (_blocked(grant, now_ms), _request_rate(grant, now_ns))
    longest = max((w for w in waits if w is not None), key=lambda w: w.retry_after_seconds, default=None)
    return caller_refusal(grant, token_id, now_ms) or longest


def caller_refusal(grant: Grant, token_id: str, now_ms: int) -> errors.SluiceError | None:
    """The refusal if the API token is not live or the account not in good standing, or None."""
    expires_s = grant.live.get(token_id)
    if expires_s is None:
        return errors.InvalidApiToken("This API token has been revoked.")
    if expires_s * 1000 <= now_ms:
        return errors.InvalidApiToken("This API token has expired.")
    return None if grant.standing == GOOD else errors.AccountSuspended()


def _never_fits(grant: Grant, request: AdmissionRequest) -> errors.SluiceError | None:
    limit = grant.limits.tpm
    if limit == 0 or request.reserve_tokens <= limit:
        return None
    return errors.InvalidModelRequest(
        f"This request may take {request.reserve_tokens} tokens, more than the account's limit of {limit} tokens "
        "a minute can ever hold. Shorten the prompt or lower max_tokens.",
        "max_tokens",
    )


def _blocked(grant: Grant, now_ms: int) -> errors.Throttled | None:
    if grant.blocked_until_ms <= now_ms:
        return None
    seconds = -(-(grant.blocked_until_ms - now_ms) // 1000)
    return errors.RateLimitExceeded(seconds, "Too many refused requests: this account is blocked for a while.")


def _quota(grant: Grant, request: AdmissionRequest, now_ms: int) -> errors.Throttled | None:
    period = charge_period(grant.period, now_ms)
    used = grant.period_tokens if period == grant.period else 0
    if used + request.reserve_tokens <= grant.limits.monthly_tokens:
        return None
    return errors.QuotaExceeded(-(-(period_ends_ms(period) - now_ms) // 1000))


def _rates(grant: Grant, request: AdmissionRequest, now_ns: int) -> errors.Throttled | None:
    limits = grant.limits
    if limits.rpm == 0 or limits.tpm == 0:
        return errors.RateLimitExceeded(60, "This account's rate limit is 0: no request is allowed.")
    for_requests = buckets.wait_ns(grant.tat_requests_ns, buckets.charge_ns(1, limits.rpm), now_ns)
    for_tokens = buckets.wait_ns(grant.tat_tokens_ns, buckets.charge_ns(request.reserve_tokens, limits.tpm), now_ns)
    longest_ns = max(for_requests, for_tokens)
    if longest_ns == 0:
        return None
    if for_requests >= for_tokens:
        return _throttled(longest_ns, limits.rpm, "requests")
    return _throttled(longest_ns, limits.tpm, "tokens")


def _request_rate(grant: Grant, now_ns: int) -> errors.Throttled | None:
    if grant.limits.rpm == 0:
        return errors.RateLimitExceeded(60, "This account's rate limit is 0: no request is allowed.")
    left_ns = buckets.wait_ns(grant.tat_requests_ns, buckets.charge_ns(1, grant.limits.rpm), now_ns)
    return _throttled(left_ns, grant.limits.rpm, "requests") if left_ns else None


def _throttled(left_ns: int, limit: int, what: str) -> errors.Throttled:
    return errors.RateLimitExceeded(
        -(-left_ns // buckets.SECOND_NS), f"The account's limit of {limit} {what} a minute is reached."
    )


def _concurrency(grant: Grant) -> errors.SluiceError | None:
    if len(grant.leases) < grant.limits.concurrency:
        return None
    return errors.TooManyConcurrentRequests()


def next_block_seconds(grant: Grant, now_ms: int) -> int:
    """60 s, doubled up to 15 minutes for each block that begins within 15 minutes after the last one."""
    recent = now_ms - grant.blocked_until_ms < MAX_BLOCK_SECONDS * 1000
    if not recent or grant.block_seconds == 0:
        return FIRST_BLOCK_SECONDS
    return min(MAX_BLOCK_SECONDS, grant.block_seconds * 2)


def lease_for(request: AdmissionRequest, guess: Grant, now_ns: int) -> Lease:
    """The lease an admission would write: charged by the guessed limits, to the later of our month and the grant's."""
    now_ms = now_ns // 1_000_000
    tpm, family = guess.limits.tpm, request.family or request.token_id
    own = guess.token_limits.get(family)
    own_tpm = own.limits.tpm if own else None
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
    )
