"""Change the email address. The old one stays until a code mailed to the new one is redeemed (`verify`)."""

from dataclasses import dataclass

from sluice.domain.accounts.account import Account, PendingCode, parse_address
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.passwords import Passwords
from sluice.services.mails.queue import queue_mail, queue_nothing
from sluice.services.mails.throttle import MailThrottle


@dataclass(frozen=True)
class EmailChange:
    accounts: AccountStore
    mails: MailStore
    throttle: MailThrottle
    passwords: Passwords

    def request(self, account_id: str, new_email: str, password: str, visitor: Visitor) -> None:
        """The same result if another account has the address. Errors: ValidationFailed, as `Passwords.confirm`."""
        address = parse_address(new_email, "new_email")
        account = self.passwords.confirm(account_id, password, visitor.now_ms)
        allowed = self.throttle.allows(address.key, Kind.CHANGE_EMAIL, visitor, account_id)
        owner = self.accounts.by_email(address.key, visitor.now_ms)
        now_ms = visitor.now_ms
        if not allowed:
            queue_nothing(self.mails, now_ms)
        elif owner is not None and owner.account_id != account_id:
            queue_mail(Kind.ALREADY_REGISTERED, owner, mails=self.mails, now_ms=now_ms)
        else:
            mail = new_mail(Kind.CHANGE_EMAIL, account_id=account_id, to=address.given, now_ms=now_ms)
            self._put(account, PendingCode(mail.mail_id, mail.expires_ms, now_ms, address.given, address.key), mail)

    def _put(self, account: Account, code: PendingCode, mail: Mail) -> None:
        try:
            self.accounts.put_code(account, Kind.CHANGE_EMAIL, code, mail)
        except Conflict:
            return  # a concurrent request queued its mail first
