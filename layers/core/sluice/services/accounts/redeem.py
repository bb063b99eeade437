"""Redeemed mailed codes: the mail that each belongs to, and how many one client may try."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import MailedCodeInvalid
from sluice.domain.mails import mailed_codes
from sluice.domain.mails.mail import Kind, Mail
from sluice.ports.accounts import Throttles
from sluice.ports.mails import MailStore


@dataclass(frozen=True)
class MailedCodes:
    """`key` reads the secret that codes are derived from, when the first code is redeemed."""

    mails: MailStore
    throttles: Throttles
    key: Callable[[], bytes]

    def mail_of(self, code: str, purpose: Kind) -> Mail:
        """The mail that the code was issued for. The account decides whether the code is still valid.
        Errors: MailedCodeInvalid (not issued by us for this purpose), StoreUnavailable."""
        key = self.key()
        parsed = mailed_codes.parse(code)
        mail = self.mails.get(parsed.mail_id)
        if mail is None:
            raise MailedCodeInvalid()
        mailed_codes.check(parsed, key, purpose, mail.account_id)
        return mail

    @contextmanager
    def redeeming(self, visitor: Visitor) -> Iterator[None]:
        """Count a client's failed attempts, because each costs reads and, for a reset, a password hash.
        Errors: TooManyAttempts, StoreUnavailable."""
        key = rules.key(rules.REDEEM_CLIENT, visitor.network)
        self.throttles.take(key, rules.REDEEM_CLIENT, visitor.now_ms)
        yield
        self.throttles.give_back(key, visitor.now_ms)
