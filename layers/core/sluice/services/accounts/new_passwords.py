"""New passwords: check them, hash them, and mail the owner after a change."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.passwords import check_password, password_problem
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import StoreUnavailable
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import rfc3339
from sluice.ports.accounts import PasswordHashes
from sluice.ports.mails import MailStore
from sluice.services.mails.queue import queue_mail

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class NewPasswords:
    """Hash function and common passwords are callables, because both load slowly and many requests need neither."""

    hashes: Callable[[], PasswordHashes]
    common: Callable[[], Mapping[str, int]]

    def problem(self, password: str, local_part: str) -> str | None:
        """What is wrong with the password, in words for the person, or None. `local_part`: of the account's address."""
        return password_problem(password, local_part, self.common())

    def check(self, password: str, email: str, field_name: str = "password") -> None:
        """Errors: ValidationFailed for the field `field_name`."""
        check_password(password, local_part=email.rpartition("@")[0], common=self.common(), field_name=field_name)

    def hash(self, password: str, salt: bytes | None = None) -> str:
        """With a random salt unless one is given. Errors: Overloaded."""
        return self.hashes().hash(password, salt)


def tell_owner(account: Account, mails: MailStore, visitor: Visitor) -> None:
    """Mail the owner. A failure is only logged, because the password is already changed."""
    try:
        told: dict[str, Any] = {"data": {"when": rfc3339(visitor.now_ms)}, "language": visitor.language}
        queue_mail(Kind.PASSWORD_CHANGED, account, mails=mails, now_ms=visitor.now_ms, **told)
    except StoreUnavailable:
        log.warning("owner not notified of a changed password", extra={"account_id": account.account_id})
