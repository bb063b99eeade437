"""Switch off the second factors of an account whose owner has lost them all. The owner is told by mail."""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.errors import NotFound, StoreUnavailable
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import rfc3339
from sluice.ports.accounts import AccountStore, AuditLog, FactorStore
from sluice.ports.mails import MailStore
from sluice.services.mails.queue import queue_mail
from sluice.services.operations.admin import Actor

log = logging.getLogger("sluice.audit")


@dataclass(frozen=True)
class FactorRemoval:
    accounts: AccountStore
    factors: FactorStore
    audit: AuditLog
    mails: MailStore

    def remove(self, by: Actor, account_id: str, now_ms: int) -> None:
        """Sessions stay. As every change by an admin it is in the audit log, also if it changes nothing, and may be
        repeated. Errors: NotFound, StoreUnavailable."""
        account = self.accounts.get(account_id)
        if account is None or account.status == "deleting":
            raise NotFound("There is no such user.")
        self.factors.remove_all(account_id)
        event = new_event(
            Action.FACTORS_REMOVED,
            actor=by.account_id,
            target=account_id,
            now_ms=now_ms,
            before={"factors": len(account.factors)},
            after={"factors": 0},
            client=by.client,
        )
        self.audit.put(event)
        if not account.factors:
            return
        told: dict[str, str | int] = {"when": rfc3339(now_ms), "by_admin": 1}
        try:
            queue_mail(Kind.FACTOR_REMOVED, account, mails=self.mails, now_ms=now_ms, data=told)
        except StoreUnavailable:
            log.warning("owner not notified of removed factors", extra={"account_id": account_id})
