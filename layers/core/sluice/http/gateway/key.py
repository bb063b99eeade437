"""`GET /v1/key`: what an API token may do, and what is left to it and to its account."""

from typing import Self

from pydantic import Field

from sluice.domain.errors import InvalidApiToken
from sluice.domain.gateway.admission import TokenLimits, TokenUse, charge_period
from sluice.domain.gateway.buckets import remaining_units
from sluice.domain.periods import rfc3339
from sluice.domain.usage.pricing import usd
from sluice.http.gateway.bearer import authenticate
from sluice.http.lazy_model import BaseModel
from sluice.http.tokens import TokenLimitsInfo
from sluice.wiring import stores
from sluice.wiring.gateway import gateway


class Remaining(BaseModel):
    """What is left now, beside what running requests have reserved; null: no limit."""

    requests: int | None = Field(None, description="of this minute")
    tokens: int | None = Field(None, description="model tokens of this minute")
    monthly_tokens: int | None = None
    monthly_usd: float | None = None

    @classmethod
    def of(cls, use: TokenUse, now_ns: int) -> Self:
        limits, now_ms = use.limits, now_ns // 1_000_000
        is_now = charge_period(use.period, now_ms) == use.period
        tokens, micro_usd = (use.tokens, use.micro_usd) if is_now else (0, 0)
        return cls(
            requests=None if limits.rpm is None else remaining_units(use.tat_requests_ns, limits.rpm, now_ns),
            tokens=None if limits.tpm is None else remaining_units(use.tat_tokens_ns, limits.tpm, now_ns),
            monthly_tokens=_left(limits.monthly_tokens, tokens),
            monthly_usd=usd(_left(limits.monthly_micro_usd, micro_usd)),
        )


class KeyInfo(BaseModel):
    id: str
    name: str
    scopes: list[str]
    models: list[str] | None = Field(description="null: all")
    expires_at: str
    limits: TokenLimitsInfo
    remaining: Remaining = Field(description="of the API token's own limits")
    account_remaining: Remaining = Field(description="of the account's limits, which all its API tokens share")


def describe() -> KeyInfo:
    """Errors: InvalidApiToken, AccountSuspended, StoreUnavailable."""
    claims = authenticate(scope=None)
    grant = gateway().check_caller(claims)
    row = stores.token_store().get(claims.account_id, claims.token_id)
    if row is None:
        raise InvalidApiToken("This API token has been revoked.")
    grant = gateway().admission.seen(claims.account_id) or grant  # with the limits of its plan in force
    now_ns = gateway().clock()
    own = grant.token_limits.get(row.of_family, TokenUse(TokenLimits()))
    return KeyInfo.like(
        row,
        id=row.token_id,
        expires_at=rfc3339(grant.live[row.token_id] * 1000),
        limits=TokenLimitsInfo.of(own.limits),
        remaining=Remaining.of(own, now_ns),
        account_remaining=Remaining.of(grant.use, now_ns),
    )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
