"""The first admin, created by the operator of the machine, because there is no admin yet who could do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.errors import Conflict
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.domain.mails.mail import SILENT, Kind, new_mail
from sluice.ports.accounts import AccountStore
from sluice.services.accounts.new_passwords import NewPasswords


@dataclass(frozen=True)
class FirstAdmin:
    """`limits`: of a new account. Both methods may raise ValidationFailed and StoreUnavailable."""

    accounts: AccountStore
    passwords: NewPasswords
    limits: Callable[[], Mapping[str, Any]]
    """Of `new_grant`."""

    def known(self, email: str, now_ms: int) -> Account | None:
        """The account that may become admin, or None. Errors: Conflict (unverified, suspended, being deleted)."""
        account = self.accounts.by_email(parse_address(email).key, now_ms)
        if account is not None and account.status != "active":
            # A stranger may have registered an unverified address.
            raise Conflict(f"This account is {account.status}: only an active one can be made an admin.")
        return account

    def create(self, email: str, password: str, now_ms: int) -> Account:
        """Create a verified account without a mail, because the operator vouches for the address. Then set its role,
        which writes an event to the audit log as every change of a role does. Errors: AddressTaken."""
        address = parse_address(email)
        self.passwords.check(password, address.given)
        account = Account(
            account_id=random_id("usr_"),
            email=address.given,
            email_key=address.key,
            name="",
            password_hash=self.passwords.hash(password),
            created_ms=now_ms,
            status="active",
            verified_ms=now_ms,
        )
        grant = new_grant(account.account_id, **self.limits(), now_ms=now_ms)
        mail = new_mail(Kind.VERIFY_EMAIL, account_id=account.account_id, to="", now_ms=now_ms)
        self.accounts.create(account, grant, replace(mail, state=SILENT))
        return account
