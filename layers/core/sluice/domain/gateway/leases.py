"""A lease is one running request's hold on its account: what it reserved, and how far it has come."""

import zlib
from dataclasses import dataclass, replace

LEASE_MS = 30_000  # how long a lease lives unrenewed
# A revoked token's streams end within 5 s: the engine's events come at most 2 s apart, so a checkpoint is never
# later than 3 + 2 s after the one before.
RENEW_EVERY_MS = 3_000
SWEEP_AFTER_MS = 10_000  # how long a lease is left expired before the sweeper takes the holder for dead
LEASE_SHARDS = "0123456789abcdef"  # the keys of the sparse index of accounts that hold leases


def lease_shard(account_id: str) -> str:
    """The key of the sparse index under which an account with leases stands."""
    return LEASE_SHARDS[zlib.crc32(account_id.encode()) % len(LEASE_SHARDS)]


@dataclass(frozen=True)
class Lease:
    """Token counts are model tokens. `token_id` is the API token's id, `period` the month charged (YYYYMM)."""

    expires_ms: int
    reserved_tokens: int
    charged_tokens_ns: int
    period: int
    token_id: str
    model: str
    endpoint: str
    stream: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def expired(self, now_ms: int) -> bool:
        return self.expires_ms <= now_ms

    def abandoned(self, now_ms: int) -> bool:
        return self.expires_ms + SWEEP_AFTER_MS <= now_ms

    def with_progress(self, prompt_tokens: int, completion_tokens: int) -> "Lease":
        return replace(self, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)

    def unused_ns(self, used_tokens: int) -> int:
        """What the token bucket gets back for the tokens reserved and not used (negative if more were used)."""
        if self.reserved_tokens == 0:
            return 0
        return self.charged_tokens_ns * (self.reserved_tokens - used_tokens) // self.reserved_tokens
