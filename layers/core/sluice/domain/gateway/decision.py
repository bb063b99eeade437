"""The rules that admit or refuse a request by the account's grant. Pure functions.

`decide` is the conditional write (`adapters/gateway/grant_expressions.py`) in Python: it finds the reason after the
store has refused, and property tests compare the store with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sluice.domain import errors
from sluice.domain.gateway import buckets
from sluice.domain.gateway.admission import (
    GOOD,
    AdmissionRequest,
    Grant,
    TokenLimits,
    TokenUse,
    charge_period,
    is_over,
    is_welcome,
)
from sluice.domain.gateway.publishable import day_left_seconds
from sluice.domain.periods import period_ends_ms

MAX_BLOCK_SECONDS = 900
FIRST_BLOCK_SECONDS = 60
FLOOD_FACTOR = 10  # a flood is more refusals within a minute than this many times the request limit
ACCOUNT, TOKEN = "the account's", "this API token's"  # whose limit a message speaks of


def decide(grant: Grant, request: AdmissionRequest, now_ns: int) -> errors.SluiceError | None:
    """Why the request is refused, or None. The order is: who, whether it could ever fit, for how long, concurrency.

    Of several waits the longest is returned, because the others are then over too. Of equal ones, the account's.
    """
    now_ms = now_ns // 1_000_000
    uses = _uses(grant, request.of_family)
    refusals = (_never_fits(whose, use.limits, request) for whose, use in uses)
    refusal = caller_refusal(grant, request.token_id, now_ms) or _not_welcome(grant, request)
    refusal = refusal or next(filter(None, refusals), None)
    if refusal is not None:
        return refusal
    period = charge_period(grant.period, now_ms)
    waits = [_blocked(grant, now_ms)]
    for whose, use in uses:
        waits += _month(whose, use, request, period, now_ms)
        tokens = 0 if request.is_row else request.reserve_tokens
        waits += _rates(whose, use, tokens, now_ns, is_run=not request.counts)
        waits.append(_day(use, now_ns))
    wait = _longest(waits) or _concurrency(grant, rows=request.is_row)
    if wait is not None:
        wait.holding = {lease.family for lease in grant.leases.values()}
    return wait


def decide_malformed(grant: Grant, token_id: str, now_ns: int, family: str = "") -> errors.SluiceError | None:
    """Why a request that is wrong in form gets another refusal than that, or None. It takes no capacity but a request a
    minute, so quota, tokens and concurrency do not matter."""
    now_ms = now_ns // 1_000_000
    waits = [_blocked(grant, now_ms)]
    for whose, use in _uses(grant, family or token_id):
        waits += _rates(whose, replace(use, limits=TokenLimits(use.limits.rpm)), 0, now_ns)
        waits.append(_day(use, now_ns))
    return caller_refusal(grant, token_id, now_ms) or _longest(waits)


def caller_refusal(grant: Grant, token_id: str, now_ms: int) -> errors.SluiceError | None:
    """The refusal if the API token is not live or the account not in good standing, or None."""
    expires_s = grant.live.get(token_id)
    if expires_s is None:
        return errors.InvalidApiToken("This API token has been revoked.")
    if expires_s * 1000 <= now_ms:
        return errors.InvalidApiToken("This API token has expired.")
    return None if grant.standing == GOOD else errors.AccountSuspended()


def _not_welcome(grant: Grant, request: AdmissionRequest) -> errors.Forbidden | None:
    if is_welcome(grant.token_limits.get(request.of_family), request.origin):
        return None
    return origin_refused(request.origin or "")


def origin_refused(origin: str) -> errors.Forbidden:
    where = f"the origin {origin[:200]!r}" if origin else "a request without an Origin header"
    return errors.Forbidden(f"This publishable API token is not for {where}. Its owner can add origins to it.")


def _day(use: TokenUse, now_ns: int) -> errors.Throttled | None:
    if use.public is None or use.charged_day(now_ns) > use.day or use.day_requests < use.public.daily_requests:
        return None
    return errors.DailyRequestsUsedUp(day_left_seconds(now_ns), use.public.daily_requests)


def _uses(grant: Grant, family: str) -> list[tuple[str, TokenUse]]:
    """Limits and counters of the account and, if it has its own, of the API token, each with its name for messages."""
    own = grant.token_limits.get(family)
    return [(ACCOUNT, grant.use), *([(TOKEN, own)] if own else [])]


def _never_fits(whose: str, limits: TokenLimits, request: AdmissionRequest) -> errors.SluiceError | None:
    limit = limits.tpm
    if not limit or request.reserve_tokens <= limit or request.is_row:
        return None
    return errors.InvalidModelRequest(
        f"This request may take {request.reserve_tokens} tokens, more than {whose} limit of {limit} tokens "
        "a minute can ever hold. Shorten the prompt or lower max_tokens.",
        "max_tokens",
    )


def _blocked(grant: Grant, now_ms: int) -> errors.Throttled | None:
    if grant.blocked_until_ms <= now_ms:
        return None
    seconds = -(-(grant.blocked_until_ms - now_ms) // 1000)
    return errors.RateLimitExceeded(seconds, "Too many refused requests: this account is blocked for a while.")


def _month(
    whose: str, use: TokenUse, request: AdmissionRequest, period: int, now_ms: int
) -> Iterator[errors.Throttled]:
    """Refusals for what a month has of tokens and dollars."""
    seconds = -(-(period_ends_ms(period) - now_ms) // 1000)
    tokens, micro_usd = (use.tokens, use.micro_usd) if use.period == period else (0, 0)
    if is_over(tokens + request.reserve_tokens, use.limits.monthly_tokens):
        yield errors.QuotaExceeded(seconds) if whose == ACCOUNT else errors.TokenQuotaExceeded(seconds)
    if request.reserve_micro_usd and is_over(micro_usd + request.reserve_micro_usd, use.limits.monthly_micro_usd):
        yield errors.InsufficientBudget(seconds) if whose == ACCOUNT else errors.TokenBudgetUsedUp(seconds)


def _rates(
    whose: str, use: TokenUse, reserve_tokens: int, now_ns: int, *, is_run: bool = False
) -> Iterator[errors.Throttled]:
    """Refusals for what a minute has of requests and tokens."""
    limits = use.limits
    if 0 in (limits.rpm, limits.tpm):
        yield errors.NothingAllowed(60, f"{_capital(whose)} rate limit is 0: no request is allowed.")
        return
    for limit, tat_ns, wanted, what in (
        (None if is_run else limits.rpm, use.tat_requests_ns, 1, "requests"),
        (limits.tpm, use.tat_tokens_ns, reserve_tokens, "tokens"),
    ):
        left_ns = buckets.wait_ns(tat_ns, buckets.charge_ns(wanted, limit), now_ns) if limit else 0
        if left_ns:
            reached = f"{_capital(whose)} limit of {limit} {what} a minute is reached."
            yield errors.RateLimitExceeded(-(-left_ns // buckets.SECOND_NS), reached)


def _capital(whose: str) -> str:
    return whose[0].upper() + whose[1:]


def _longest(waits: Iterable[errors.Throttled | None]) -> errors.Throttled | None:
    return max((w for w in waits if w is not None), key=lambda w: w.retry_after_seconds, default=None)


def _concurrency(grant: Grant, *, rows: bool) -> errors.Throttled | None:
    if grant.running(rows=rows) < grant.limits.concurrency:
        return None
    return errors.TooManyConcurrentRequests()


def next_block_seconds(grant: Grant, now_ms: int) -> int:
    """60 s, doubled up to 15 minutes for each block that begins within 15 minutes after the last one."""
    recent = now_ms - grant.blocked_until_ms < MAX_BLOCK_SECONDS * 1000
    if not recent or grant.block_seconds == 0:
        return FIRST_BLOCK_SECONDS
    return min(MAX_BLOCK_SECONDS, grant.block_seconds * 2)
