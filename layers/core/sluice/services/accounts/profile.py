"""One's own profile: the account with its limits and the month's usage, the display name, and content logging."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.domain.accounts.account import Account, parse_name
from sluice.domain.errors import Conflict, NotAuthenticated, NotFound
from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.gateway.plans import in_force
from sluice.domain.periods import period_of
from sluice.domain.settings.terms import Terms
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import GrantStore, HotStore
from sluice.services.usage.sums import UsageSums


@dataclass(frozen=True)
class Overview:
    """`grant`: with the limits of the plan in force, which the store may get with the next request only. `plan`: its
    name, or empty. `tokens` counts against the monthly quota; `cost_micro_usd` and `requests` come from the ledger."""

    account: Account
    grant: Grant
    plan: str
    period: int
    tokens: int
    requests: int
    cost_micro_usd: int | None
    terms_url: str
    terms_version: str

    @property
    def limits(self) -> Limits:
        return self.grant.limits


@dataclass(frozen=True)
class Profile:
    """Every method may raise StoreUnavailable."""

    accounts: AccountStore
    grants: GrantStore
    hot: HotStore
    sums: UsageSums
    terms: Callable[[], Terms]
    defaults: Limits
    site: Callable[[], Any]
    """→ its `terms_url` and `terms_version`."""

    def account(self, account_id: str) -> Account:
        """Errors: NotAuthenticated (deleted in the meantime)."""
        account = self.accounts.get(account_id)
        if account is None:
            raise NotAuthenticated()
        return account

    def overview(self, account_id: str, now_ms: int) -> Overview:
        """Errors: NotFound (deleted, or being deleted)."""
        account, grant = self.accounts.get(account_id), self.hot.grant(account_id)
        if account is None or grant is None or account.status == "deleting":
            raise NotFound()
        period = max(period_of(now_ms), grant.period)
        used = self.sums.of_period(account_id, period, now_ms)
        terms = self.terms()
        grant = in_force(grant, terms, self.defaults)
        plan = grant.plan if grant.plan in terms.plans else terms.default_plan
        tokens = settled_tokens(grant, period)
        site = self.site()
        of_use = site.terms_url or "", site.terms_version
        return Overview(account, grant, plan, period, tokens, used.requests, used.cost_micro_usd, *of_use)

    def update(
        self,
        account_id: str,
        name: str | None,
        store_content: bool | None,
        now_ms: int,
        language: str | None = None,
        terms: str | None = None,
        mails: Sequence[str] | None = None,
    ) -> Overview:
        """None leaves a field unchanged. `terms`: the version of the terms of use that are accepted now. `mails`: the
        events that are told by mail.

        Errors: ValidationFailed, NotFound (deleted in the meantime), Conflict (other terms are in force).

        The grant is written first, because it takes effect. If the second write fails, the account shows the old
        setting, and the caller gets the error and can repeat the call.
        """
        checked = None if name is None else parse_name(name)
        if terms is not None and terms != self.site().terms_version:
            raise Conflict("Other terms of use are in force by now. Read them, and accept their version.")
        if store_content is not None:
            self.grants.set_store_content(account_id, store_content)
        of_use = {} if terms is None else {"terms": terms, "terms_ms": now_ms}
        told = None if mails is None else " ".join(dict.fromkeys(mails))
        changes: dict[str, Any] = {"name": checked, "store_content": store_content, "language": language, "mails": told}
        changes |= of_use
        self.accounts.update_profile(account_id, {name: new for name, new in changes.items() if new is not None})
        return self.overview(account_id, now_ms)


def settled_tokens(grant: Grant, period: int) -> int:
    """The month's tokens without those that running requests have only reserved."""
    if grant.period != period:
        return 0  # no request this month yet: the counter belongs to an earlier month
    reserved = sum(lease.reserved_tokens for lease in grant.leases.values() if lease.period == period)
    return max(0, grant.period_tokens - reserved)
