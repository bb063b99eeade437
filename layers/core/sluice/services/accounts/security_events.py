"""Security events of one's own account for the audit log. Best effort, because a lost event must not stop a login."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import StoreUnavailable, TooManyAttempts
from sluice.ports.accounts import AuditLog, Throttles

log = logging.getLogger("sluice.audit")


@dataclass(frozen=True)
class SecurityEvents:
    audit: AuditLog
    throttles: Throttles

    def note(
        self, action: Action, account_id: str, visitor: Visitor, after: Mapping[str, str | int] | None = None
    ) -> bool:
        """`account_id`: "" for an unknown account. Actor and target are the same account. Never raises.

        False if the account has had so many events of this kind that neither this one is kept nor its mail sent.
        """
        if account_id and not self._has_room(action, account_id, visitor.now_ms):
            return False
        # A visitor who tries passwords is unknown, and probably not the account's owner.
        actor = "" if action is Action.LOGINS_THROTTLED else account_id
        event = new_event(
            action, actor=actor, target=account_id, now_ms=visitor.now_ms, after=after, client=visitor.network
        )
        try:
            self.audit.put(event)
        except StoreUnavailable:
            log.warning("security event not kept: %s", action, extra={"account_id": account_id})
        return True

    def _has_room(self, action: Action, account_id: str, now_ms: int) -> bool:
        try:
            self.throttles.take(rules.key(rules.EVENT, action, account_id), rules.EVENT, now_ms)
        except TooManyAttempts:
            return False
        except StoreUnavailable:
            pass
        return True
