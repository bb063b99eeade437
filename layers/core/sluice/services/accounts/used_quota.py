"""A month's quota belongs to an address, so that deleting an account and registering again is no refill.

The account that leaves an address, by deletion or for another address, leaves what it used of this month; the next
account at that address begins with it. The amount is kept until the month ends, without the address or the account.
"""

from dataclasses import dataclass

from sluice.domain.periods import period_of
from sluice.ports.accounts import UsedQuotas
from sluice.ports.gateway import GrantStore


@dataclass(frozen=True)
class QuotaOfAddress:
    """All methods may raise StoreUnavailable, and can be repeated."""

    quotas: UsedQuotas
    grants: GrantStore

    def leave(self, email_key: str, period: int, tokens: int, now_ms: int) -> None:
        """`tokens`: used in the month `period`, those of running requests included."""
        if tokens and period >= period_of(now_ms):
            self.quotas.put(email_key, period, tokens)

    def arrive(self, account_id: str, email_key: str, now_ms: int) -> int:
        """Call it before the account may use the address, so that no request is admitted in between. → how many tokens
        it added to what the account used."""
        period = period_of(now_ms)
        tokens = self.quotas.get(email_key, period)
        return self.grants.use_at_least(account_id, period, tokens) if tokens else 0

    def move(self, account_id: str, old_key: str, new_key: str, now_ms: int) -> int:
        """As `arrive`."""
        if old_key == new_key:
            return 0
        self.leave(old_key, *self.grants.used(account_id), now_ms)
        return self.arrive(account_id, new_key, now_ms)

    def stay(self, account_id: str, added: int, now_ms: int) -> None:
        """Take back what `move` added, because the account did not get the address."""
        if added:
            self.grants.use_less(account_id, period_of(now_ms), added)
