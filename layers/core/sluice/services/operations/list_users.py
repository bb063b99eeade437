"""Looking through all accounts and all audit events, a page at a time."""

from dataclasses import dataclass

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import AuditEvent
from sluice.ports.accounts import AccountStore, AuditLog
from sluice.services.cursors import cursor, position

SCANNED_ITEMS = 2_000  # what one page looks at, at most: an account and its address are two
USERS, EVENTS = "users", "audit"


@dataclass(frozen=True)
class UserList:
    users: list[Account]
    next_cursor: str | None


@dataclass(frozen=True)
class EventList:
    events: list[AuditEvent]
    next_cursor: str | None


def list_users(accounts: AccountStore, *, query: str, limit: int, after: str | None) -> UserList:
    """In no order. A page of a search may be shorter than `limit`, or empty, and not be the last.

    Errors: ValidationFailed (a cursor that is none), StoreUnavailable.
    """
    after_id = position(USERS, after, 1)[0] if after else None
    found, next_id = accounts.page(query.strip(), limit=limit, after_id=after_id, scanned=SCANNED_ITEMS)
    shown = [account for account in found if account.status != "deleting"]
    return UserList(shown, cursor(USERS, next_id) if next_id else None)


def list_events(audit: AuditLog, *, limit: int, after: str | None, now_ms: int) -> EventList:
    """Newest first. Errors: ValidationFailed (a cursor that is none), StoreUnavailable."""
    before = position(EVENTS, after, 2) if after else None
    found, following = audit.page(limit=limit, before=(before[0], before[1]) if before else None, now_ms=now_ms)
    return EventList(found, cursor(EVENTS, *following) if following else None)
