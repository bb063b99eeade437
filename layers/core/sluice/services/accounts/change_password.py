"""Change one's own password: whoever else is logged in is out, the caller stays."""

import logging
from collections.abc import Mapping

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.passwords import check_password
from sluice.domain.errors import InvalidCredentials, NotAuthenticated, StoreUnavailable
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import rfc3339
from sluice.ports.accounts import AccountStore, PasswordHashes, SessionStore, Throttles
from sluice.ports.mails import MailStore
from sluice.services.accounts.security_events import Note, note_nothing
from sluice.services.mails.queue import queue_mail

log = logging.getLogger("sluice.accounts")


def change_password(
    current_password: str,
    new_password: str,
    *,
    account_id: str,
    session_id: str,
    accounts: AccountStore,
    sessions: SessionStore,
    mails: MailStore,
    passwords: PasswordHashes,
    common_passwords: Mapping[str, int],
    throttles: Throttles,
    now_ms: int,
    note: Note = note_nothing,
) -> None:
    """Errors: ValidationFailed (the new one), InvalidCredentials (the current one), TooManyAttempts, Conflict (changed
    by someone else at this moment), Overloaded, StoreUnavailable."""
    account = accounts.get(account_id)
    if account is None:
        raise NotAuthenticated()
    local_part = account.email.rpartition("@")[0]
    check_password(new_password, local_part=local_part, common=common_passwords, field_name="new_password")
    confirm_password(account, current_password, passwords=passwords, throttles=throttles, now_ms=now_ms)
    sessions.change_password(account, passwords.hash(new_password), session_id)
    note(Action.PASSWORD_CHANGED, account_id)
    _tell(account, mails, now_ms)


def confirm_password(
    account: Account, password: str, *, passwords: PasswordHashes, throttles: Throttles, now_ms: int
) -> None:
    """For what a stolen session alone must not do. Errors: InvalidCredentials, TooManyAttempts."""
    key = rules.key(rules.CONFIRM_PASSWORD, account.account_id)
    throttles.take(key, rules.CONFIRM_PASSWORD, now_ms)
    if not passwords.verify(account.password_hash, password):
        raise InvalidCredentials("The password is wrong.")
    throttles.succeeded(key, now_ms)


def _tell(account: Account, mails: MailStore, now_ms: int) -> None:
    """The password is changed already: a notice that cannot be queued is no reason to say otherwise."""
    try:
        queue_mail(Kind.PASSWORD_CHANGED, account, mails=mails, now_ms=now_ms, data={"when": rfc3339(now_ms)})
    except StoreUnavailable:
        log.warning("no notice of a changed password", extra={"account_id": account.account_id})
