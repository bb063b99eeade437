"""Log in: a correct password gets a session. All failures look the same and take the same time."""

import logging
from contextlib import suppress
from dataclasses import dataclass

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.sessions import MOST_SESSIONS, NewSession, new_session
from sluice.domain.accounts.user_agents import device
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import AccountSuspended, EmailNotVerified, InvalidCredentials, NotFound, StoreUnavailable
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import day_of, rfc3339
from sluice.ports.accounts import AccountStore, PasswordHashes, SessionStore, Throttles
from sluice.ports.mails import MailStore
from sluice.services.accounts.login_throttle import LoginAttempt
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.mails.queue import queue_mail

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class LoggedIn:
    account: Account
    new: NewSession


@dataclass(frozen=True)
class Login:
    accounts: AccountStore
    sessions: SessionStore
    mails: MailStore
    passwords: PasswordHashes
    throttles: Throttles
    events: SecurityEvents
    session_hours: int

    def log_in(self, email: str, password: str, visitor: Visitor) -> LoggedIn:
        """Only a caller with the correct password learns that the address is not verified.

        Errors: ValidationFailed (a malformed address), InvalidCredentials, EmailNotVerified, AccountSuspended,
        TooManyAttempts, Overloaded, StoreUnavailable.
        """
        account, attempt = self._authenticate(email, password, visitor)
        # If the password changes at this moment, this session has the old epoch and is invalid.
        new = new_session(account, hours=self.session_hours, user_agent=visitor.user_agent, now_ms=visitor.now_ms)
        self._make_room(account.account_id)
        self.sessions.put(new.session)
        log.info("logged in", extra={"account_id": account.account_id})
        if attempt.is_new_place and self.events.note(Action.NEW_PLACE_LOGIN, account.account_id, visitor):
            self._tell(account, visitor)
        return LoggedIn(account, new)

    def _make_room(self, account_id: str) -> None:
        """End the oldest sessions of an account that has as many as it may have. Concurrent logins may exceed the bound
        until the next one."""
        held = sorted(self.sessions.of_account(account_id), key=lambda session: session.created_ms)
        for session in held[: max(0, len(held) - MOST_SESSIONS + 1)][:100]:
            with suppress(NotFound):
                self.sessions.delete(session.session_id, account_id)

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
        if account.status == "pending":
            raise EmailNotVerified()
        if account.status == "suspended":
            raise AccountSuspended()
        return account, attempt

    def _tell(self, account: Account, visitor: Visitor) -> None:
        """Mail the owner, once for each day and network. The login succeeds even if the mail cannot be queued."""
        now_ms, network = visitor.now_ms, visitor.network
        data = {"when": rfc3339(now_ms), "client": network, "agent": device(visitor.user_agent)}
        once = (network, day_of(now_ms))
        try:
            queue_mail(Kind.NEW_SIGN_IN, account, mails=self.mails, now_ms=now_ms, data=data, once=once)
        except StoreUnavailable:
            log.warning("owner not notified of a login from a new place", extra={"account_id": account.account_id})
