"""All accounts, for admins and operators: pages, one by its id or address, and a lower bound of their number."""

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.errors import NotFound
from sluice.domain.ids import is_id
from sluice.ports.accounts import AccountStore
from sluice.services.cursors import cursor, position

SCANNED_ITEMS = 2_000  # the most that one page scans; an account and its address are two items
LOOKED_AT = 50
USERS = "users"


@dataclass(frozen=True)
class UserList:
    users: list[Account]
    next_cursor: str | None


def emails_of(accounts: AccountStore, account_ids: Iterable[str]) -> dict[str, str]:
    """Addresses by account id, of those that still exist. Errors: StoreUnavailable."""
    found = {one: accounts.get(one) for one in set(account_ids)}
    return {one: account.email for one, account in found.items() if account is not None}


@dataclass(frozen=True)
class Users:
    """Every method may raise StoreUnavailable."""

    accounts: AccountStore

    def page(self, query: str, *, limit: int, after: str | None = None) -> UserList:
        """In no order. A page of a search may be shorter than `limit`, or empty, without being the last.

        Errors: ValidationFailed (a malformed cursor).
        """
        after_id = position(USERS, after, 1)[0] if after else None
        found, next_id = self.accounts.page(query.strip(), limit=limit, after_id=after_id, scanned=SCANNED_ITEMS)
        shown = [account for account in found if account.status != "deleting"]
        return UserList(shown, cursor(USERS, next_id) if next_id else None)

    def emails(self, account_ids: Iterable[str]) -> dict[str, str]:
        """As `emails_of`."""
        return emails_of(self.accounts, account_ids)

    def are_more_than(self, count: int) -> bool:
        """Whether there are more than `count` accounts. Reads one page only."""
        found = self.page("", limit=count + 1)
        return len(found.users) > count or found.next_cursor is not None

    def are_others_active(self, account_id: str) -> bool:
        """Whether another account than this is active. Reads one page only; where there are more, one is."""
        found = self.page("", limit=LOOKED_AT)
        others = (one for one in found.users if one.account_id != account_id)
        return any(one.status == "active" for one in others) or found.next_cursor is not None

    def find(self, user: str, now_ms: int) -> Account:
        """Find by id or by address. Errors: NotFound, ValidationFailed (neither an id nor an address)."""
        by_id = is_id("usr_", user)
        found = self.accounts.get(user) if by_id else self.accounts.by_email(parse_address(user, "USER").key, now_ms)
        if found is None or found.status == "deleting":
            raise NotFound(f"There is no user {user}.")
        return found
