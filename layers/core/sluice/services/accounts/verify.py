"""Redeem the code of a verification mail; and ask for a new one."""

from sluice.domain.accounts.account import parse_address
from sluice.domain.mails.mail import Kind
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.redeem import mail_of
from sluice.services.mails.queue import MayMail, queue_code, queue_nothing


def verify_email(code: str, *, key: bytes, accounts: AccountStore, mails: MailStore, now_ms: int) -> str:
    """The account becomes active, by one conditional write; returns its id. Errors: MailedCodeInvalid."""
    mail = mail_of(code, Kind.VERIFY_EMAIL, key=key, mails=mails)
    accounts.redeem_verification(mail.account_id, mail.mail_id, now_ms)
    return mail.account_id


def resend_verification(
    email: str, *, accounts: AccountStore, mails: MailStore, may_mail: MayMail, now_ms: int
) -> None:
    """The same for every address: only a pending account gets a mail. Errors: ValidationFailed, StoreUnavailable."""
    address = parse_address(email)
    allowed = may_mail(address.key, Kind.VERIFY_EMAIL, now_ms)
    account = accounts.by_email(address.key)
    if allowed and account and account.status == "pending":
        queue_code(Kind.VERIFY_EMAIL, account, accounts=accounts, now_ms=now_ms)
    else:
        queue_nothing(mails, now_ms)
