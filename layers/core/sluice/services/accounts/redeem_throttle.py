"""Redeeming mailed codes, per client: each try costs reads and, for a reset, a password hash."""

from collections.abc import Iterator
from contextlib import contextmanager

from sluice.domain.accounts import throttles as rules
from sluice.ports.accounts import Throttles


@contextmanager
def redeeming(throttles: Throttles, client: str, now_ms: int) -> Iterator[None]:
    """What succeeds inside does not count. Errors: TooManyAttempts, StoreUnavailable."""
    key = rules.key(rules.REDEEM_CLIENT, rules.client_network(client))
    throttles.take(key, rules.REDEEM_CLIENT, now_ms)
    yield
    throttles.give_back(key, now_ms)
