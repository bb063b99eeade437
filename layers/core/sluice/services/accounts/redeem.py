"""From a mailed code as it came back to the mail it was made for."""

from sluice.domain.errors import MailedCodeInvalid
from sluice.domain.mails import mailed_codes
from sluice.domain.mails.mail import Kind, Mail
from sluice.ports.mails import MailStore


def mail_of(code: str, purpose: Kind, *, key: bytes, mails: MailStore) -> Mail:
    """The mail, if we made this code for it and for this purpose; whether it may still be used is the account's to say.

    Errors: MailedCodeInvalid, StoreUnavailable.
    """
    parsed = mailed_codes.parse(code)
    mail = mails.get(parsed.mail_id)
    if mail is None:
        raise MailedCodeInvalid()
    mailed_codes.check(parsed, key, purpose, mail.account_id)
    return mail
