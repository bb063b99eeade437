"""What the services ask of the outside. Unit tests pass in-memory fakes, integration tests the real adapters."""

from collections.abc import Mapping
from typing import Any, Protocol

from sluice.domain.accounts import Account, PendingCode
from sluice.domain.mails import Mail


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

    def set_password(self, account: Account, password_hash: str) -> int:
        """Returns the new session epoch. Errors: Conflict."""

    def update_profile(self, account_id: str, *, name: str | None = None, store_content: bool | None = None) -> Account:
        """Errors: NotFound."""
