"""An admin deletes another account."""

from dataclasses import dataclass

from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.errors import Forbidden, NotFound
from sluice.ports.accounts import AccountStore, AuditLog
from sluice.ports.gateway import GrantStore
from sluice.services.accounts.erasure import begin
from sluice.services.accounts.used_quota import QuotaOfAddress
from sluice.services.operations.admin import Actor


@dataclass(frozen=True)
class Removal:
    accounts: AccountStore
    grants: GrantStore
    quotas: QuotaOfAddress
    audit: AuditLog

    def remove(self, by: Actor, account_id: str, now_ms: int) -> None:
        """The account, its address and identities are gone at once, and the sweeper erases the rest from a minute
        later. Errors: NotFound, Forbidden (oneself), StoreUnavailable, after which it can be repeated."""
        if account_id == by.account_id:
            raise Forbidden("You cannot delete your own account here.")
        account = self.accounts.get(account_id)
        leaving = account and begin(self.accounts, self.grants, self.quotas, account, now_ms)
        if leaving is None:
            raise NotFound("There is no such user.")
        deleted = Action.ACCOUNT_DELETED
        self.audit.put(new_event(deleted, actor=by.account_id, target=account_id, now_ms=now_ms, client=by.client))
        self.accounts.end_deletion(leaving)
