"""How many mails an address may be sent on somebody's word, and how many anybody may ask for.

Past an address's allowance nothing is sent and nothing is said: the answer is the same as ever. Only who asks too
often themselves is told so, whatever the addresses were.
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

    def allows(self, email_key: str, kind: Kind, visitor: Visitor) -> bool:
        """Whether this address may get one more mail of this kind now. Asking counts as one. Errors: TooManyAttempts
        (this client, for whatever address), StoreUnavailable."""
        network, now_ms = visitor.network, visitor.now_ms
        self.throttles.take(rules.key(rules.MAIL_CLIENT, network), rules.MAIL_CLIENT, now_ms)
        # A stranger elsewhere can hold up an address's mails by the low ceiling of the second only.
        pair = rules.key(rules.MAIL_PAIR, kind, email_key, network), rules.MAIL_PAIR
        address = rules.key(rules.MAIL_ADDRESS, kind, email_key), rules.MAIL_ADDRESS
        try:
            for key, policy in (pair, address):
                self.throttles.take(key, policy, now_ms)
        except TooManyAttempts:
            return False
        return True
