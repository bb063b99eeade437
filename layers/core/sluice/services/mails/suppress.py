"""Stop mail to addresses that bounce or complain, because each bounce harms the sender's reputation."""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import ValidationFailed
from sluice.domain.mails.mail import Suppression
from sluice.ports.accounts import AccountStore

log = logging.getLogger("sluice.bounces")


@dataclass(frozen=True)
class Suppressions:
    """Both methods may raise StoreUnavailable."""

    accounts: AccountStore

    def add(self, address: str, reason: Suppression, now_ms: int) -> bool:
        """→ whether an account has this address, which is then suppressed."""
        try:
            email_key = parse_address(address).key
        except ValidationFailed:
            log.error("notice skipped: its address is malformed")
            return False
        return self.accounts.suppress_mail(email_key, reason, now_ms)

    def takes_mail(self, address: str) -> bool:
        try:
            return self.accounts.mail_suppression(parse_address(address).key) is None
        except ValidationFailed:
            return True  # let the mail server decide about a malformed address
