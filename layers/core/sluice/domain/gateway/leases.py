"""A lease is one running request's hold on its account: what it reserved, and how far it has come."""

import zlib
from dataclasses import replace

from sluice.domain.settings.terms import LOCAL
from sluice.domain.usage.pricing import Prices
from sluice.frozen import frozen

LEASE_MS = 30_000  # how long a lease is valid without renewal
# A revoked token's streams end within 5 s: the engine's events come at most 2 s apart, so a checkpoint is never
# later than 3 + 2 s after the one before.
RENEW_EVERY_MS = 3_000
SWEEP_AFTER_MS = 10_000  # how long after its expiry the sweeper treats a lease as abandoned
RUN_SWEEP_AFTER_MS = 15 * 60_000  # the same for a run's, whose next attempt takes it over before that
LEASE_SHARDS = "0123456789abcdef"  # keys of the sparse index of accounts that hold leases


def lease_shard(account_id: str) -> str:
    """The account's key in the sparse index of accounts that hold leases."""
    return LEASE_SHARDS[zlib.crc32(account_id.encode()) % len(LEASE_SHARDS)]


@frozen
class Lease:
    """Token counts are model tokens. `token_id` is the API token's id, `period` the month charged (YYYYMM).

    `prices` and `reserved_micro_usd` are those of the admission, so that a request costs what it was promised to.
    `upstream`: the model server that is asked; empty for `local`, because every byte of a grant counts.
    `epoch`: of a run, which attempt or life of it holds the lease; 0 for a request that is no run (ADR 120).
    `price_percent`: of a row of a batch, what it costs of the model's prices; None for all else (ADR 123).
    `family`: of an API token with limits of its own, whose counters were charged too; empty for other tokens.
    """

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
    reserved_micro_usd: int = 0
    prices: Prices | None = None
    family: str = ""
    family_tokens_ns: int = 0
    upstream: str = ""
    epoch: int = 0
    price_percent: int | None = None

    @property
    def is_row(self) -> bool:
        return self.price_percent is not None

    def expired(self, now_ms: int) -> bool:
        return self.expires_ms <= now_ms

    def abandoned(self, now_ms: int) -> bool:
        return self.expires_ms + SWEEP_AFTER_MS <= now_ms

    def given_up(self, now_ms: int) -> bool:
        """Whether nobody executes the run any more, although it was sent again to its queue."""
        return self.expires_ms + RUN_SWEEP_AFTER_MS <= now_ms

    def with_progress(self, prompt_tokens: int, completion_tokens: int, upstream: str = LOCAL) -> "Lease":
        named = upstream if self.upstream or upstream != LOCAL else ""
        return replace(self, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, upstream=named)

    def unused_ns(self, used_tokens: int) -> int:
        """Nanoseconds to give back to the token bucket for reserved but unused tokens; negative if more were used."""
        return self._unused(self.charged_tokens_ns, used_tokens)

    def family_unused_ns(self, used_tokens: int) -> int:
        """The same for the bucket of the API token's family."""
        return self._unused(self.family_tokens_ns, used_tokens)

    def _unused(self, charged_ns: int, used_tokens: int) -> int:
        if self.reserved_tokens == 0:
            return 0
        return charged_ns * (self.reserved_tokens - used_tokens) // self.reserved_tokens
