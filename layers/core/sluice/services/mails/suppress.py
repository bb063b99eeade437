"""An address that takes no mail gets none: each one that comes back harms what all other mails are taken for."""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import ValidationFailed
from sluice.domain.mails.mail import Suppression
from sluice.ports.accounts import AccountStore

log = logging.getLogger("sluice.bounces")


@dataclass(frozen=True)
class Suppressions:
    """Errors of both: StoreUnavailable."""

    accounts: AccountStore

    def add(self, address: str, reason: Suppression, now_ms: int) -> bool:
        """Whether it was noted: nobody may have the address any more, or never had."""
        try:
            email_key = parse_address(address).key
        except ValidationFailed:
            log.error("a notice names what is no address")
            return False
        return self.accounts.suppress_mail(email_key, reason, now_ms)

    def takes_mail(self, address: str) -> bool:
        try:
            return self.accounts.mail_suppression(parse_address(address).key) is None
        except ValidationFailed:
            return True  # the mail server will say what it thinks of it
