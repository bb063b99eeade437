"""`GET /v1/key`: what an API token may do, and what is left to it and to its account."""

from typing import Self

from pydantic import Field

from sluice.domain.errors import InvalidApiToken
from sluice.domain.gateway.admission import Grant, charge_period
from sluice.domain.gateway.buckets import remaining_units
from sluice.domain.periods import rfc3339
from sluice.http.gateway.bearer import authenticate
from sluice.http.lazy_model import BaseModel
from sluice.wiring import stores
from sluice.wiring.gateway import gateway


class KeyLimits(BaseModel):
    """The API token's own limits; null: only those of its account apply."""

    rpm: int | None = Field(None, description="requests a minute")
    tpm: int | None = Field(None, description="model tokens a minute")
    monthly_tokens: int | None = None
    monthly_usd: float | None = None


class Remaining(BaseModel):
    """What is left now, beside what running requests have reserved; null: no limit."""

    requests: int | None = Field(None, description="of this minute")
    tokens: int | None = Field(None, description="model tokens of this minute")
    monthly_tokens: int | None = None
    monthly_usd: float | None = None

    @classmethod
    def of(cls, grant: Grant, now_ns: int) -> Self:
        limits, now_ms = grant.limits, now_ns // 1_000_000
        used = grant.period_tokens if charge_period(grant.period, now_ms) == grant.period else 0
        return cls(
            requests=remaining_units(grant.tat_requests_ns, limits.rpm, now_ns),
            tokens=remaining_units(grant.tat_tokens_ns, limits.tpm, now_ns),
            monthly_tokens=max(0, limits.monthly_tokens - used),
        )


class KeyInfo(BaseModel):
    id: str
    name: str
    scopes: list[str]
    models: list[str] | None = Field(description="null: all")
    expires_at: str
    limits: KeyLimits
    remaining: Remaining = Field(description="of the API token's own limits")
    account_remaining: Remaining = Field(description="of the account's limits, which all its API tokens share")


def describe() -> KeyInfo:
    """Errors: InvalidApiToken, AccountSuspended, StoreUnavailable."""
    claims = authenticate(scope=None)
    grant = gateway().check_caller(claims)
    row = stores.token_store().get(claims.account_id, claims.token_id)
    if row is None:
        raise InvalidApiToken("This API token has been revoked.")
    remaining = Remaining.of(grant, gateway().clock())
    expires_at = rfc3339(row.expires_ms)
    return KeyInfo.like(
        row,
        id=row.token_id,
        expires_at=expires_at,
        limits=KeyLimits(),
        remaining=Remaining(),
        account_remaining=remaining,
    )
