"""A new email address: asked for by its owner-to-be, confirmed from its mailbox; until then the old one stays."""

from sluice.domain.accounts.account import Account, AddressTaken, PendingCode, parse_address
from sluice.domain.errors import Conflict, MailedCodeInvalid
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.redeem import mail_of
from sluice.services.mails.queue import MayMail, queue_mail, queue_nothing


def request_email_change(
    account: Account, new_email: str, *, accounts: AccountStore, mails: MailStore, may_mail: MayMail, now_ms: int
) -> None:
    """The caller has shown the password. The same whether or not another account has the address.

    Errors: ValidationFailed, StoreUnavailable.
    """
    address = parse_address(new_email, "new_email")
    allowed = may_mail(address.key, Kind.CHANGE_EMAIL, now_ms)
    owner = accounts.by_email(address.key)
    if not allowed:
        queue_nothing(mails, now_ms)
    elif owner is not None and owner.account_id != account.account_id:
        queue_mail(Kind.ALREADY_REGISTERED, owner, mails=mails, now_ms=now_ms)
    else:
        mail = new_mail(Kind.CHANGE_EMAIL, account_id=account.account_id, to=address.given, now_ms=now_ms)
        code = PendingCode(mail.mail_id, mail.expires_ms, now_ms, address.given, address.key)
        _put(account, code, accounts, mail)


def _put(account: Account, code: PendingCode, accounts: AccountStore, mail: Mail) -> None:
    try:
        accounts.put_code(account, Kind.CHANGE_EMAIL, code, mail)
    except Conflict:
        return  # asked for twice at once: the other mail goes out


def change_email(code: str, *, key: bytes, accounts: AccountStore, mails: MailStore, now_ms: int) -> str:
    """The new address takes over and the old one is told, in one transaction; returns the account's id.

    Errors: MailedCodeInvalid, also when someone else verified the address meanwhile.
    """
    mail = mail_of(code, Kind.CHANGE_EMAIL, key=key, mails=mails)
    account = accounts.get(mail.account_id)
    newest = account.codes.get(Kind.CHANGE_EMAIL) if account else None
    if account is None or newest is None or newest.mail_id != mail.mail_id or newest.expires_ms <= now_ms:
        raise MailedCodeInvalid()
    data = {"new_email": newest.new_email}
    notice = new_mail(Kind.EMAIL_CHANGED, account_id=account.account_id, to=account.email, now_ms=now_ms, data=data)
    try:
        accounts.redeem_email_change(account, newest, notice, now_ms)
    except AddressTaken as exc:
        raise MailedCodeInvalid() from exc
    return account.account_id
