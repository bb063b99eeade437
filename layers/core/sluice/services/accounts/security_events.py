"""Security events of one's own account for the audit log. Best effort, because a lost event must not stop a login."""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import StoreUnavailable
from sluice.ports.accounts import AuditLog

log = logging.getLogger("sluice.audit")


@dataclass(frozen=True)
class SecurityEvents:
    audit: AuditLog

    def note(self, action: Action, account_id: str, visitor: Visitor) -> None:
        """`account_id`: "" for an unknown account. Actor and target are the same account. Never raises."""
        # A visitor who tries passwords is unknown, and probably not the account's owner.
        actor = "" if action is Action.LOGINS_THROTTLED else account_id
        event = new_event(action, actor=actor, target=account_id, now_ms=visitor.now_ms, client=visitor.network)
        try:
            self.audit.put(event)
        except StoreUnavailable:
            log.warning("security event not kept: %s", action, extra={"account_id": account_id})
