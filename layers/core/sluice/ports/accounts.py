"""Accounts, sessions, passwords, throttles and the audit log."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sluice.domain.accounts.account import Account, PendingCode, Registered, Role, Status
    from sluice.domain.accounts.audit import AuditEvent
    from sluice.domain.accounts.sessions import Session
    from sluice.domain.accounts.throttles import Counter, Policy
    from sluice.domain.mails.mail import Mail, Suppression


class AccountStore(Protocol):
    """Accounts by id and by normalised address. Every method may raise StoreUnavailable; reads are consistent."""

    def get(self, account_id: str) -> Account | None: ...

    def by_email(self, email_key: str, now_ms: int) -> Account | None:
        """Takes the same time for known and unknown addresses. An unverified account that has ended is None."""

    def create(self, account: Account, grant: Mapping[str, Any], mail: Mail) -> None:
        """Write account, grant and mail in one transaction. Errors: AddressTaken.

        The address is free if its last account has ended by this account's `created_ms`."""

    def put_code(self, account: Account, purpose: str, code: PendingCode, mail: Mail) -> None:
        """Errors: Conflict when the account changed since it was read."""

    def put_registrations(self, account: Account, registrations: Mapping[str, Registered], mails: list[Mail]) -> None:
        """Replace all registrations of an unverified account and queue mails. Errors: Conflict when they changed since
        they were read, or the account is verified."""

    def redeem_verification(self, account: Account, mail_id: str, now_ms: int) -> None:
        """Errors: MailedCodeInvalid."""

    def redeem_reset(
        self, account: Account, mail_id: str, password_hash: str, now_ms: int, *, keep_tokens: bool
    ) -> None:
        """An unverified account becomes active with the name and spelling in `account`. Errors: MailedCodeInvalid."""

    def redeem_email_change(self, account: Account, code: PendingCode, notice: Mail, now_ms: int) -> None:
        """Errors: MailedCodeInvalid, AddressTaken."""

    def suppress_mail(self, email_key: str, reason: Suppression, now_ms: int) -> bool:
        """Send no more mail to this address; a first reason stays. False if no account has the address."""

    def mail_suppression(self, email_key: str) -> Suppression | None: ...

    def update_profile(self, account_id: str, *, name: str | None = None, store_content: bool | None = None) -> Account:
        """Errors: NotFound."""

    def page(self, query: str, *, limit: int, after_id: str | None, scanned: int) -> tuple[list[Account], str | None]:
        """Accounts whose address, name or id contains `query`, unordered, and the `after_id` of the next page.

        It reads at most `scanned` entries, so a page may be shorter than `limit`, or empty, and not be the last.
        """

    def set_status(self, account: Account, status: Status) -> None:
        """Errors: Conflict when the status changed since it was read."""

    def set_role(self, account_id: str, role: Role) -> None:
        """Errors: NotFound."""

    def begin_deletion(self, account_id: str, now_ms: int) -> Account | None:
        """Refuse logins and mailed codes, and record the deletion so that it is finished later. None if it is gone."""

    def end_deletion(self, account: Account) -> None:
        """Delete the account and free its address. An account that is already gone is not an error."""

    def deletions(self) -> dict[str, int]:
        """Unfinished deletions: account id → when the deletion began, Unix ms."""

    def forget_deletion(self, account_id: str) -> None: ...


class UsedQuotas(Protocol):
    """What was used of a month's quota by the account that had an address. Both methods may raise StoreUnavailable."""

    def put(self, email_key: str, period: int, tokens: int) -> None:
        """Keep it until the month ends."""

    def get(self, email_key: str, period: int) -> int: ...


class AuditLog(Protocol):
    """What admins did, and what happened to an account's security. All methods may raise StoreUnavailable."""

    def put(self, event: AuditEvent) -> None: ...

    def page(
        self, *, limit: int, before: tuple[str, str] | None, now_ms: int
    ) -> tuple[list[AuditEvent], tuple[str, str] | None]:
        """Newest first, and the `before` (day, event id) of the next page. A page may be empty and not the last."""

    def naming(self, account_id: str) -> Iterator[AuditEvent]:
        """Events with this account as actor or target."""

    def forget_client(self, account_id: str) -> None:
        """Remove the network addresses from this account's events."""


class PasswordHashes(Protocol):
    """Hashes that are slow on purpose. Errors of both methods: Overloaded."""

    def hash(self, password: str, salt: bytes | None = None) -> str:
        """`salt`: 16 bytes, random by default. The same password with the same salt has the same hash."""

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Without a hash (unknown address) it does the same work, for the same time, and returns False."""


class SessionStore(Protocol):
    """All methods may raise StoreUnavailable."""

    def put(self, session: Session) -> None: ...

    def get(self, session_id: str) -> Session | None:
        """A consistent read."""

    def of_account(self, account_id: str) -> list[Session]:
        """Unordered, including ended and expired sessions. A session of the last second may be missing."""

    def delete(self, session_id: str, account_id: str) -> None:
        """Errors: NotFound, also when the session belongs to another account."""

    def change_password(self, account: Account, password_hash: str, kept_session_id: str) -> None:
        """Set the password and end every other session in one transaction. Errors: Conflict."""

    def erase_account(self, account_id: str, kept_session_id: str = "") -> None:
        """Delete all sessions except `kept_session_id`. A session of the last second may remain."""


class Throttles(Protocol):
    """Counters of attempts, by `sluice.domain.accounts.throttles.key`. All methods may raise StoreUnavailable."""

    remembers: bool
    """False where throttles are off. Then no client has a history, so no client can be called new."""

    def take(self, key: str, policy: Policy, now_ms: int, units: int = 1) -> Counter:
        """Count an attempt, as so many, before it is made, so that parallel attempts gain nothing.
        Errors: TooManyAttempts."""

    def peek(self, key: str) -> Counter:
        """Read the counter without counting."""

    def give_back(self, key: str, now_ms: int) -> None:
        """Take back one attempt that turned out to be right."""

    def succeeded(self, key: str, now_ms: int) -> None:
        """Forget the attempts, and record that this key knew the password."""
