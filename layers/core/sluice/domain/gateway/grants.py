"""The grant: an account's admission state, one item. Only this file says what a new one holds.

`live` is an allow-list of API tokens (id → expiry, epoch seconds): what is missing from it is refused.
Admission (`sluice.domain.gateway.admission`) reads and writes the rest; `busy_shard` is absent while nothing runs.
"""

from collections.abc import Mapping
from typing import Any

from sluice.domain.periods import period_of

SCHEMA = 2  # 1 carried a number of its limits
PLAYGROUND = "playground"  # the playground's own entry: the session cookie stands in for an API token there
PLAYGROUND_EXPIRES_S = 4_102_444_800  # 2100-01-01: never, for our purposes
MAX_LIVE_TOKENS = 25  # besides the playground's


def new_grant(
    account_id: str, *, rpm: int, tpm: int, concurrency: int, monthly_tokens: int, now_ms: int
) -> dict[str, Any]:
    """The item a registration puts beside its account: plain values, nothing charged, no lease.

    Standing is good from the start: an account that is not verified cannot log in, so it has no API token.
    """
    return {
        "account_id": account_id,
        "live": {PLAYGROUND: PLAYGROUND_EXPIRES_S},
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


def live_tokens(live: Mapping[str, int], now_s: int) -> dict[str, int]:
    """The API tokens of a grant that have not expired; the playground's entry is not one of them."""
    return {token: expires_s for token, expires_s in live.items() if token != PLAYGROUND and expires_s > now_s}


def expired_tokens(live: Mapping[str, int], now_s: int) -> list[str]:
    """Entries to prune: they admit no request any more, and the item should stay small."""
    return sorted(token for token, expires_s in live.items() if token != PLAYGROUND and expires_s <= now_s)


def has_room(live: Mapping[str, int], now_s: int) -> bool:
    """Whether one more API token may be issued."""
    return len(live_tokens(live, now_s)) < MAX_LIVE_TOKENS
