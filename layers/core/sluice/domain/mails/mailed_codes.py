"""Mailed codes: `mail_id.HMAC(key, purpose, mail_id, account_id)`.

The code is derived when the mail is rendered and again when it is redeemed. So no table, stream, queue or log holds a
code, and a mail that is sent twice carries the same link. The HMAC shows only that we made the code, for which account
and purpose. The account's `PendingCode` shows whether the code is the newest of its purpose, unexpired and unused.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from sluice.domain.errors import MailedCodeInvalid

CONTEXT = "sluice mailed code 1"  # keeps these HMACs apart from any other use of the key
FORM = re.compile(r"(mail_[0-9a-z]{1,40})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, repr=False)
class MailedCode:
    """A code of the right form, not checked yet. It has no repr because it must not appear in a log."""

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
    """Errors: MailedCodeInvalid when the code was made for another purpose or account, or not with this key."""
    if not hmac.compare_digest(code.mac, _mac(key, purpose, code.mail_id, account_id)):
        raise MailedCodeInvalid()


def _mac(key: bytes, purpose: str, mail_id: str, account_id: str) -> str:
    signed = "\0".join((CONTEXT, purpose, mail_id, account_id))  # no part holds a zero byte, so parts stay distinct
    return urlsafe_b64encode(hmac.digest(key, signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
