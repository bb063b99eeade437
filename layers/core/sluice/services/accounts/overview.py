"""What `GET /account` shows: the account, its limits, and what it used of its month."""

from dataclasses import dataclass

from sluice.domain.accounts.account import Account
from sluice.domain.errors import NotFound
from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.periods import period_of
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import HotStore
from sluice.ports.usage import LedgerReader, RollupStore
from sluice.services.usage.sums import usage_of_period


@dataclass(frozen=True)
class Overview:
    """`tokens` is what counts against the monthly quota; `cost_micro_usd` and `requests` come from the ledger."""

    account: Account
    limits: Limits
    period: int
    tokens: int
    requests: int
    cost_micro_usd: int


def account_overview(
    account_id: str,
    *,
    accounts: AccountStore,
    grants: HotStore,
    ledger: LedgerReader,
    rollups: RollupStore,
    now_ms: int,
) -> Overview:
    """Errors: NotFound (deleted, or on its way out), StoreUnavailable."""
    account, grant = accounts.get(account_id), grants.grant(account_id)
    if account is None or grant is None or account.status == "deleting":
        raise NotFound()
    period = max(period_of(now_ms), grant.period)
    used = usage_of_period(ledger, rollups, account_id, period, now_ms)
    return Overview(account, grant.limits, period, settled_tokens(grant, period), used.requests, used.cost_micro_usd)


def settled_tokens(grant: Grant, period: int) -> int:
    """The month's tokens without what running requests only hold reserved."""
    if grant.period != period:
        return 0  # nothing was asked this month yet: the counter is an earlier one's
    reserved = sum(lease.reserved_tokens for lease in grant.leases.values() if lease.period == period)
    return max(0, grant.period_tokens - reserved)
