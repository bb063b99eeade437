"""Log in: a session for the right password, and one answer, after one time, for everything else."""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.sessions import NewSession, new_session
from sluice.domain.accounts.throttles import client_network
from sluice.domain.accounts.user_agents import device
from sluice.domain.errors import AccountSuspended, EmailNotVerified, InvalidCredentials, StoreUnavailable
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import day_of, rfc3339
from sluice.ports.accounts import AccountStore, PasswordHashes, SessionStore, Throttles
from sluice.ports.mails import MailStore
from sluice.services.accounts.login_throttle import LoginAttempt
from sluice.services.accounts.security_events import Note, note_nothing
from sluice.services.mails.queue import queue_mail

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class LoggedIn:
    account: Account
    new: NewSession


def login(
    email: str,
    password: str,
    *,
    client: str,
    user_agent: str,
    accounts: AccountStore,
    sessions: SessionStore,
    mails: MailStore,
    passwords: PasswordHashes,
    throttles: Throttles,
    session_hours: int,
    now_ms: int,
    note: Note = note_nothing,
) -> LoggedIn:
    """`client` is the caller's network address, `note` keeps security events.

    That the address is not verified is said to its owner only.

    Errors: ValidationFailed (no address at all), InvalidCredentials, EmailNotVerified, AccountSuspended,
    TooManyAttempts, Overloaded, StoreUnavailable.
    """
    address = parse_address(email)
    attempt = LoginAttempt(throttles, address.key, client, now_ms)
    attempt.begin()
    account = accounts.by_email(address.key)
    right = passwords.verify(account.password_hash if account else None, password)
    if account is None or not right or account.status == "deleting":
        log.info("login refused", extra={"account_id": account.account_id if account else ""})
        if attempt.begins_wait:
            note(Action.LOGINS_THROTTLED, account.account_id if account else "")
        raise InvalidCredentials()
    attempt.was_right()
    if account.status == "pending":
        raise EmailNotVerified()
    if account.status == "suspended":
        raise AccountSuspended()
    # Should the password change at this moment, this session carries the old epoch and is none.
    new = new_session(account, hours=session_hours, user_agent=user_agent, now_ms=now_ms)
    sessions.put(new.session)
    log.info("logged in", extra={"account_id": account.account_id})
    if attempt.is_new_place:
        note(Action.NEW_PLACE_LOGIN, account.account_id)
        _tell(account, client_network(client), user_agent, mails, now_ms)
    return LoggedIn(account, new)


def _tell(account: Account, network: str, user_agent: str, mails: MailStore, now_ms: int) -> None:
    """The owner, once a day and place, however many logins come at once. No login fails for want of a notice."""
    data = {"when": rfc3339(now_ms), "client": network, "agent": device(user_agent)}
    once = (network, day_of(now_ms))
    try:
        queue_mail(Kind.NEW_SIGN_IN, account, mails=mails, now_ms=now_ms, data=data, once=once)
    except StoreUnavailable:
        log.warning("no notice of a login from a new place", extra={"account_id": account.account_id})
