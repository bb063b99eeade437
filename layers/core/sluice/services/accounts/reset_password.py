"""A forgotten password: a mailed code, and a new password for it."""

import logging
from collections.abc import Callable, Mapping

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.passwords import check_password
from sluice.domain.errors import MailedCodeInvalid, StoreUnavailable
from sluice.domain.mails.mail import Kind, Mail
from sluice.domain.periods import rfc3339
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.redeem import mail_of
from sluice.services.accounts.security_events import Note, note_nothing
from sluice.services.mails.queue import MayMail, queue_code, queue_mail, queue_nothing

log = logging.getLogger("sluice.accounts")


def request_password_reset(
    email: str, *, accounts: AccountStore, mails: MailStore, may_mail: MayMail, now_ms: int
) -> None:
    """The same for every address. Errors: ValidationFailed (no address at all), StoreUnavailable."""
    address = parse_address(email)
    allowed = may_mail(address.key, Kind.RESET_PASSWORD, now_ms)
    account = accounts.by_email(address.key)
    if allowed and account and account.status in ("pending", "active"):
        queue_code(Kind.RESET_PASSWORD, account, accounts=accounts, now_ms=now_ms)
    else:
        queue_nothing(mails, now_ms)


def reset_password(
    code: str,
    password: str,
    *,
    key: bytes,
    accounts: AccountStore,
    mails: MailStore,
    hash_password: Callable[[str], str],
    common_passwords: Mapping[str, int],
    now_ms: int,
    note: Note = note_nothing,
) -> str:
    """The new password, every session ended, the code spent, in one conditional write; returns the account's id.

    A refused password spends nothing. Errors: MailedCodeInvalid, ValidationFailed, Overloaded, StoreUnavailable.
    """
    mail = mail_of(code, Kind.RESET_PASSWORD, key=key, mails=mails)
    account = _account_of(mail, accounts, now_ms)
    local_part = account.email.rpartition("@")[0]
    check_password(password, local_part=local_part, common=common_passwords)
    _redeem(account, mail, hash_password(password), accounts, now_ms)
    note(Action.PASSWORD_RESET, account.account_id)
    _tell(account, mails, now_ms)
    return account.account_id


def _account_of(mail: Mail, accounts: AccountStore, now_ms: int) -> Account:
    """Looks at the code before the password is hashed; what counts is the write's own condition."""
    account = accounts.get(mail.account_id)
    newest = account.codes.get(Kind.RESET_PASSWORD) if account else None
    if account is None or newest is None or newest.mail_id != mail.mail_id or newest.expires_ms <= now_ms:
        raise MailedCodeInvalid()
    return account


def _redeem(account: Account, mail: Mail, password_hash: str, accounts: AccountStore, now_ms: int) -> None:
    try:
        accounts.redeem_reset(account, mail.mail_id, password_hash, now_ms)
    except MailedCodeInvalid:
        # Spent by someone else, or only the status changed meanwhile (the same person's other link): then once more.
        again = _account_of(mail, accounts, now_ms)
        if again.status == account.status:
            raise
        accounts.redeem_reset(again, mail.mail_id, password_hash, now_ms)


def _tell(account: Account, mails: MailStore, now_ms: int) -> None:
    """The password is changed already: a notice that cannot be queued is no reason to say otherwise."""
    try:
        queue_mail(Kind.PASSWORD_CHANGED, account, mails=mails, now_ms=now_ms, data={"when": rfc3339(now_ms)})
    except StoreUnavailable:
        log.warning("no notice of a changed password", extra={"account_id": account.account_id})
