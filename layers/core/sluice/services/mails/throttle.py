"""How many mails an address may be sent on somebody's word, and how many anybody may ask for.

Past an address's allowance nothing is sent and nothing is said: the answer is the same as ever. Only who asks too
often themselves is told so, whatever the addresses were.
"""

from sluice.domain.accounts import throttles as rules
from sluice.domain.errors import TooManyAttempts
from sluice.domain.mails.mail import Kind
from sluice.ports.accounts import Throttles
from sluice.services.mails.queue import MayMail


def may_mail(throttles: Throttles, client: str) -> MayMail:
    """`client` is the caller's network address. Asking counts as one mail. The function's errors: TooManyAttempts
    (this client, for whatever address), StoreUnavailable."""
    network = rules.client_network(client)

    def ask(email_key: str, kind: Kind, now_ms: int) -> bool:
        throttles.take(rules.key(rules.MAIL_CLIENT, network), rules.MAIL_CLIENT, now_ms)
        # A stranger elsewhere can hold up an address's mails by the low ceiling of the second only.
        pair = rules.key(rules.MAIL_PAIR, kind, email_key, network), rules.MAIL_PAIR
        address = rules.key(rules.MAIL_ADDRESS, kind, email_key), rules.MAIL_ADDRESS
        try:
            for key, policy in (pair, address):
                throttles.take(key, policy, now_ms)
        except TooManyAttempts:
            return False
        return True

    return ask
