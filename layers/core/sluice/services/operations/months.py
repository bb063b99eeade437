"""What accounts used this month and when they were last seen, for a list: one read of the grant each, no sums."""

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.domain.gateway.admission import Grant
from sluice.domain.periods import period_of
from sluice.ports.gateway import HotStore
from sluice.services.accounts.profile import settled_tokens


@dataclass(frozen=True)
class Month:
    """`cost_micro_usd`: None if nothing with a price was used. `seen_ms`: the last request to a model, to the minute;
    None if there was none."""

    tokens: int = 0
    cost_micro_usd: int | None = None
    seen_ms: int | None = None


def month_of(grant: Grant, now_ms: int) -> Month:
    """Running requests count as if they had used nothing yet."""
    period = period_of(now_ms)
    cost = None
    if grant.money_period == period:
        reserved = sum(one.reserved_micro_usd for one in grant.leases.values() if one.period == period)
        cost = max(0, grant.period_micro_usd - reserved)
    # The moment at which the rate limit has recovered from the last request: within the minute after it.
    seen_ms = min(now_ms, grant.tat_requests_ns // 1_000_000)
    return Month(settled_tokens(grant, period), cost, seen_ms or None)


@dataclass(frozen=True)
class Months:
    grants: HotStore

    def of(self, account_ids: Iterable[str], now_ms: int) -> dict[str, Month]:
        """Errors: StoreUnavailable."""
        ids = list(account_ids)
        grants = self.grants.grants_of(ids)
        return {one: month_of(grants[one], now_ms) if one in grants else Month() for one in ids}
