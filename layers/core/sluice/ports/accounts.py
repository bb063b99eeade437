"""Accounts, sessions, passwords and what counts attempts."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from sluice.domain.accounts.account import Account, PendingCode, Role, Status
from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.accounts.sessions import Session
from sluice.domain.accounts.throttles import Counter, Policy
from sluice.domain.mails.mail import Mail, Suppression


class AccountStore(Protocol):
    """Accounts by id and by normalised address. Every method may raise StoreUnavailable; reads are consistent."""

    def get(self, account_id: str) -> Account | None: ...

    def by_email(self, email_key: str) -> Account | None:
        """Takes as long for an unknown address as for a known one."""

    def create(self, account: Account, grant: Mapping[str, Any], mail: Mail) -> None:
        """All of it or nothing. Errors: AddressTaken."""

    def put_code(
        self,
        account: Account,
        purpose: str,
        code: PendingCode,
        mail: Mail,
        *,
        password_hash: str | None = None,
        name: str | None = None,
    ) -> None:
        """Errors: Conflict when the account is not as read any more."""

    def redeem_verification(self, account_id: str, mail_id: str, now_ms: int) -> None:
        """Errors: MailedCodeInvalid."""

    def redeem_reset(self, account: Account, mail_id: str, password_hash: str, now_ms: int) -> None:
        """Errors: MailedCodeInvalid."""

    def redeem_email_change(self, account: Account, code: PendingCode, notice: Mail, now_ms: int) -> None:
        """Errors: MailedCodeInvalid, AddressTaken."""

    def suppress_mail(self, email_key: str, reason: Suppression, now_ms: int) -> bool:
        """From now on no mail goes to this address. False where nobody has it. The first reason stays."""

    def mail_suppression(self, email_key: str) -> Suppression | None: ...

    def set_password(self, account: Account, password_hash: str) -> int:
        """Returns the new session epoch. Errors: Conflict."""

    def update_profile(self, account_id: str, *, name: str | None = None, store_content: bool | None = None) -> Account:
        """Errors: NotFound."""

    def page(self, query: str, *, limit: int, after_id: str | None, scanned: int) -> tuple[list[Account], str | None]:
        """Accounts whose address, name or id holds `query`, in no order, and where to go on.

        Looks at `scanned` entries at most: a page may be shorter than `limit`, or empty, and not be the last.
        """

    def set_status(self, account: Account, status: Status) -> None:
        """Errors: Conflict when the status is not as read any more."""

    def set_role(self, account_id: str, role: Role) -> None:
        """Errors: NotFound."""

    def begin_deletion(self, account_id: str, now_ms: int) -> Account | None:
        """No login from now on, mailed codes dead, the deletion noted for whoever finishes it. None if it is gone."""

    def end_deletion(self, account: Account) -> None:
        """The account and its address are free again. One that is gone already is no error."""

    def deletions(self) -> dict[str, int]:
        """Deletions that nobody has finished yet: account id → when it began, Unix ms."""

    def forget_deletion(self, account_id: str) -> None: ...


class AuditLog(Protocol):
    """What admins did, and what happened to the security of an account. All may raise StoreUnavailable."""

    def put(self, event: AuditEvent) -> None: ...

    def page(
        self, *, limit: int, before: tuple[str, str] | None, now_ms: int
    ) -> tuple[list[AuditEvent], tuple[str, str] | None]:
        """Newest first, and where to go on (day, event id). A page may be empty and not be the last."""

    def naming(self, account_id: str) -> Iterator[AuditEvent]:
        """By this account or on it."""

    def forget_client(self, account_id: str) -> None:
        """The network addresses go; the events stay."""


class PasswordHashes(Protocol):
    """Slow on purpose. Errors of both: Overloaded."""

    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """With no hash (an unknown address) the same work is done, and the answer is False."""


class SessionStore(Protocol):
    """All may raise StoreUnavailable."""

    def put(self, session: Session) -> None: ...

    def get(self, session_id: str) -> Session | None:
        """A consistent read."""

    def of_account(self, account_id: str) -> list[Session]:
        """In no order, ended and expired ones included; one of the last second may be missing."""

    def delete(self, session_id: str, account_id: str) -> None:
        """Errors: NotFound, also when it is another account's."""

    def change_password(self, account: Account, password_hash: str, kept_session_id: str) -> None:
        """The new password, and every session but one ended, at once. Errors: Conflict."""

    def erase_account(self, account_id: str, kept_session_id: str = "") -> None:
        """All sessions but one; one of the last second may be left."""


class Throttles(Protocol):
    """Counters of attempts; keys by `sluice.domain.accounts.account.throttles.key`. All may raise StoreUnavailable."""

    remembers: bool
    """Whether anything is counted at all: else no place is known, and so none is new."""

    def take(self, key: str, policy: Policy, now_ms: int) -> Counter:
        """Count one attempt, before it is made: parallel ones gain nothing. Errors: TooManyAttempts."""

    def peek(self, key: str) -> Counter:
        """What is counted, without counting."""

    def give_back(self, key: str, now_ms: int) -> None:
        """The attempt turned out right: it does not count."""

    def succeeded(self, key: str, now_ms: int) -> None:
        """Forget the attempts, and remember that this key knew the password."""
