"""The grant: an account's admission state in one item. This file defines a new one.

`live` is an allow-list of API tokens (id → expiry in Unix seconds): a token that is not in it is refused. Admission
(`sluice.domain.gateway.admission`) uses the other fields; `busy_shard` exists only while the account holds leases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.periods import period_of

SCHEMA = 2  # 1 had a version number for its limits
PLAYGROUND = "playground"  # the entry of the playground, where a session replaces the API token
PLAYGROUND_EXPIRES_S = 4_102_444_800  # 2100-01-01, which stands for never
NO_TOKENS = {PLAYGROUND: PLAYGROUND_EXPIRES_S}
MAX_LIVE_TOKENS = 25  # without the playground's entry


def new_grant(
    account_id: str,
    *,
    rpm: int,
    tpm: int,
    concurrency: int,
    monthly_tokens: int,
    now_ms: int,
    plan_version: int = 0,
    monthly_micro_usd: int | None = None,
) -> dict[str, Any]:
    """The grant item that a registration writes with the account: plain values, nothing charged, no lease.

    Its standing is good from the start, because an unverified account cannot log in and so has no API token.
    """
    of_plan = {"pv": plan_version or None, "ml": monthly_micro_usd}
    return {
        **{name: value for name, value in of_plan.items() if value is not None},
        "account_id": account_id,
        "live": dict(NO_TOKENS),
        "standing": "good",
        "limits": {"rpm": rpm, "tpm": tpm, "concurrency": concurrency, "monthly_tokens": monthly_tokens},
        "tat_requests_ns": 0,
        "tat_tokens_ns": 0,
        "leases": {},
        "period": period_of(now_ms),
        "period_tokens": 0,
        "blocked_until": 0,
        "block_seconds": 0,
        "schema": SCHEMA,
    }


@dataclass(frozen=True)
class Replaced:
    """An API token that another one replaces. Times are Unix seconds. `expires_s`: as issued, by which a token that was
    replaced already is known. `until_s`: how long it lives on, less than `expires_s`; None: not at all."""

    token_id: str
    family: str
    expires_s: int
    until_s: int | None

    def can_be(self, live: Mapping[str, int], now_s: int) -> bool:
        return live.get(self.token_id) == self.expires_s > now_s


def live_tokens(live: Mapping[str, int], now_s: int) -> dict[str, int]:
    """The API tokens of a grant that have not expired, without the playground's entry."""
    return {token: expires_s for token, expires_s in live.items() if token != PLAYGROUND and expires_s > now_s}


def expired_tokens(live: Mapping[str, int], now_s: int) -> list[str]:
    """Expired entries, which are pruned to keep the item small."""
    return sorted(token for token, expires_s in live.items() if token != PLAYGROUND and expires_s <= now_s)


def has_room(live: Mapping[str, int], now_s: int) -> bool:
    """Whether one more API token may be issued."""
    return len(live_tokens(live, now_s)) < MAX_LIVE_TOKENS
