"""Pages of the audit log."""

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.ids import is_id
from sluice.ports.accounts import AccountStore, AuditLog
from sluice.services.cursors import cursor, position
from sluice.services.operations.users import emails_of

EVENTS = "audit"


@dataclass(frozen=True)
class EventList:
    events: list[AuditEvent]
    next_cursor: str | None


@dataclass(frozen=True)
class AuditTrail:
    """Both methods may raise StoreUnavailable."""

    audit: AuditLog
    accounts: AccountStore

    def page(self, *, limit: int, after: str | None, now_ms: int) -> EventList:
        """Newest first. Errors: ValidationFailed (a malformed cursor)."""
        before = position(EVENTS, after, 2) if after else None
        found, following = self.audit.page(
            limit=limit, before=(before[0], before[1]) if before else None, now_ms=now_ms
        )
        return EventList(found, cursor(EVENTS, *following) if following else None)

    def emails(self, events: Iterable[AuditEvent]) -> dict[str, str]:
        """Addresses by account id, for the accounts in `events` that still exist, because the log holds only ids."""
        named = {one for event in events for one in (event.actor, event.target) if is_id("usr_", one)}
        return emails_of(self.accounts, named)
