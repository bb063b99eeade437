"""Mailed codes: `mail_id.HMAC(key, purpose, mail_id, account_id)`.

Derived when the mail is rendered and again when the code comes back, so that no table, stream, queue or log holds one,
and a mail that is sent twice carries the same link. That a code is the newest of its purpose, unexpired and unused is
the account's matter (`PendingCode`): the HMAC only shows that we made it, for whom and for what.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from sluice.domain.errors import MailedCodeInvalid

CONTEXT = "sluice mailed code 1"  # the key is used for nothing else, and for nothing else by accident
FORM = re.compile(r"(mail_[0-9a-z]{1,40})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, repr=False)
class MailedCode:
    """A code of the right form, not checked yet. No repr: it must not end in a log."""

    mail_id: str
    mac: str


def make(key: bytes, purpose: str, mail_id: str, account_id: str) -> str:
    return f"{mail_id}.{_mac(key, purpose, mail_id, account_id)}"


def parse(text: str) -> MailedCode:
    """Errors: MailedCodeInvalid."""
    match = FORM.fullmatch(text)
    if match is None:
        raise MailedCodeInvalid()
    return MailedCode(match[1], match[2])


def check(code: MailedCode, key: bytes, purpose: str, account_id: str) -> None:
    """Errors: MailedCodeInvalid when it was made for another purpose or account, or not by us."""
    if not hmac.compare_digest(code.mac, _mac(key, purpose, code.mail_id, account_id)):
        raise MailedCodeInvalid()


def _mac(key: bytes, purpose: str, mail_id: str, account_id: str) -> str:
    said = "\0".join((CONTEXT, purpose, mail_id, account_id))  # no part can hold a zero, so none can run into the next
    return urlsafe_b64encode(hmac.digest(key, said.encode(), hashlib.sha256)).rstrip(b"=").decode()
