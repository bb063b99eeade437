"""Log in with a password. All failures look the same and take the same time."""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import InvalidCredentials
from sluice.ports.accounts import AccountStore, PasswordHashes, Throttles
from sluice.services.accounts.login_throttle import LoginAttempt
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.accounts.sign_in import FactorRequired, LoggedIn, SignIn

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class Login:
    accounts: AccountStore
    passwords: PasswordHashes
    throttles: Throttles
    events: SecurityEvents
    sign_in: SignIn

    def log_in(self, email: str, password: str, visitor: Visitor) -> LoggedIn | FactorRequired:
        """Only a caller with the correct password learns that the address is not verified, or has a second factor.

        Errors: ValidationFailed (a malformed address), InvalidCredentials, EmailNotVerified, AccountSuspended,
        TooManyAttempts, Overloaded, StoreUnavailable.
        """
        account, attempt = self._authenticate(email, password, visitor)
        return self.sign_in.proven(account, visitor, new_place=attempt.is_new_place)

    def _authenticate(self, email: str, password: str, visitor: Visitor) -> tuple[Account, LoginAttempt]:
        address = parse_address(email)
        attempt = LoginAttempt(self.throttles, address.key, visitor)
        attempt.begin()
        account = self.accounts.by_email(address.key, visitor.now_ms)
        right = self.passwords.verify(account.password_hash if account else None, password)
        if account is None or not right or account.status == "deleting":
            log.info("login refused", extra={"account_id": account.account_id if account else ""})
            if attempt.begins_wait:
                self.events.note(Action.LOGINS_THROTTLED, account.account_id if account else "", visitor)
            raise InvalidCredentials()
        attempt.was_right()
        return account, attempt
