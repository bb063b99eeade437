"""How many mails may be sent to one address, and how many one client may request.

Above an address's limit no mail is sent, but the answer stays the same, so that it reveals nothing. Only a client that
exceeds its own limit gets an error, for any address.
"""

from dataclasses import dataclass

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import TooManyAttempts
from sluice.domain.mails.mail import Kind
from sluice.ports.accounts import Throttles


@dataclass(frozen=True)
class MailThrottle:
    throttles: Throttles

    def allows(self, email_key: str, kind: Kind, visitor: Visitor, account_id: str = "", mails: int = 1) -> bool:
        """Whether this address may get so many more mails of this kind now. Each counts. `account_id`: who asks, if
        that may be for any address. Errors: TooManyAttempts (this client, for any address), StoreUnavailable."""
        network, now_ms = visitor.network, visitor.now_ms
        self.throttles.take(rules.key(rules.MAIL_CLIENT, network), rules.MAIL_CLIENT, now_ms)
        # Strangers on other networks can use up only the second, lower limit of an address.
        pair = rules.key(rules.MAIL_PAIR, kind, email_key, network), rules.MAIL_PAIR
        address = rules.key(rules.MAIL_ADDRESS, kind, email_key), rules.MAIL_ADDRESS
        asking = [(rules.key(rules.EVENT, kind, account_id), rules.EVENT)] if account_id else []
        try:
            for key, policy in (*asking, pair, address):
                self.throttles.take(key, policy, now_ms, mails)
        except TooManyAttempts:
            return False
        return True
