"""All accounts, for admins and operators: pages, one by its id or address, and a lower bound of their number."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.errors import FieldProblem, NotFound, ValidationFailed
from sluice.domain.ids import is_id
from sluice.ports.accounts import AccountStore
from sluice.services.cursors import cursor, position
from sluice.services.operations.months import Month, Months

SCANNED_ITEMS = 2_000  # the most that one page scans; an account and its address are two items
LOOKED_AT = 50
MOST_SORTED = 2_000
READ_AT_ONCE = 100
USERS = "users"
SORTED_USERS = "sorted users"
Sort = Literal["tokens", "cost", "last_seen", "created"]
SORTED_BY: Mapping[Sort, Callable[[Account, Month], int]] = {
    "tokens": lambda account, month: month.tokens,
    "cost": lambda account, month: month.cost_micro_usd or 0,
    "last_seen": lambda account, month: month.seen_ms or 0,
    "created": lambda account, month: account.created_ms,
}


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


@dataclass(frozen=True)
class SortedUsers:
    users: Users
    months: Months

    def page(self, sort: Sort, query: str, *, limit: int, after: str | None, now_ms: int) -> UserList:
        """The largest or latest first. A cursor is a place in the order as it is when the page is read.

        Errors: ValidationFailed (a malformed cursor, or more than `MOST_SORTED` accounts), StoreUnavailable."""
        start = int(position(SORTED_USERS, after, 1)[0]) if after else 0
        found = self.users.page(query, limit=READ_AT_ONCE)
        every = list(found.users)
        while found.next_cursor and len(every) <= MOST_SORTED:
            found = self.users.page(query, limit=READ_AT_ONCE, after=found.next_cursor)
            every += found.users
        if len(every) > MOST_SORTED:
            problem = f"More than {MOST_SORTED:,} accounts cannot be sorted. Narrow them with `query`."
            raise ValidationFailed((FieldProblem("sort", problem),))
        used: dict[str, Month] = {}
        for first in range(0, len(every), READ_AT_ONCE):
            used |= self.months.of([one.account_id for one in every[first : first + READ_AT_ONCE]], now_ms)
        every.sort(key=lambda one: (-SORTED_BY[sort](one, used[one.account_id]), one.account_id))
        end = start + limit
        return UserList(every[start:end], cursor(SORTED_USERS, str(end)) if end < len(every) else None)
