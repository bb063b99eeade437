"""Change the email address. The old one stays until a code mailed to the new one is redeemed (`verify`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.domain.accounts.account import Account, PendingCode, parse_address
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict, FieldProblem, ValidationFailed
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.may_join import domain_problem
from sluice.services.accounts.passwords import Passwords
from sluice.services.mails.queue import queue_mail, queue_nothing
from sluice.services.mails.throttle import MailThrottle


@dataclass(frozen=True)
class EmailChange:
    accounts: AccountStore
    mails: MailStore
    throttle: MailThrottle
    passwords: Passwords
    site: Callable[[], Any]
    """Of `domain_problem`."""

    def request(self, account_id: str, new_email: str, password: str, visitor: Visitor, *, is_fresh: bool) -> None:
        """The same result if another account has the address. Where only addresses of some domains may sign up, the new
        one must be of these, or be the old one in another spelling. Errors: ValidationFailed, as `Passwords.confirm`.
        """
        address = parse_address(new_email, "new_email")
        account = self.passwords.confirm(account_id, password, visitor.now_ms, is_fresh=is_fresh)
        problem = domain_problem(self.site(), address, None, visitor.now_ms)
        if problem and address.key != account.email_key:
            raise ValidationFailed((FieldProblem("new_email", problem),))
        allowed = self.throttle.allows(address.key, Kind.CHANGE_EMAIL, visitor, account_id)
        owner = self.accounts.by_email(address.key, visitor.now_ms)
        now_ms = visitor.now_ms
        if not allowed:
            queue_nothing(self.mails, now_ms)
        elif owner is not None and owner.account_id != account_id:
            queue_mail(Kind.ALREADY_REGISTERED, owner, mails=self.mails, now_ms=now_ms)
        else:
            language = account.language or visitor.language
            mail = new_mail(
                Kind.CHANGE_EMAIL, account_id=account_id, to=address.given, now_ms=now_ms, language=language
            )
            self._put(account, PendingCode(mail.mail_id, mail.expires_ms, now_ms, address.given, address.key), mail)

    def _put(self, account: Account, code: PendingCode, mail: Mail) -> None:
        try:
            self.accounts.put_code(account, Kind.CHANGE_EMAIL, code, mail)
        except Conflict:
            return  # a concurrent request queued its mail first
