"""An address that takes no mail gets none: each one that comes back harms what all other mails are taken for."""

import logging

from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import ValidationFailed
from sluice.domain.mails.mail import Suppression
from sluice.ports.accounts import AccountStore

log = logging.getLogger("sluice.bounces")


def suppress_mail(address: str, reason: Suppression, *, accounts: AccountStore, now_ms: int) -> bool:
    """Whether it was noted: nobody may have the address any more, or never had. Errors: StoreUnavailable."""
    try:
        email_key = parse_address(address).key
    except ValidationFailed:
        log.error("a notice names what is no address")
        return False
    return accounts.suppress_mail(email_key, reason, now_ms)


def takes_mail(address: str, accounts: AccountStore) -> bool:
    """Errors: StoreUnavailable."""
    try:
        return accounts.mail_suppression(parse_address(address).key) is None
    except ValidationFailed:
        return True  # the mail server will say what it thinks of it
