"""Redeem a mailed code that verifies an address: of a registration, or of a change of address."""

from dataclasses import dataclass

from sluice.domain.accounts.account import AddressTaken
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import MailedCodeInvalid
from sluice.domain.mails.mail import Kind, new_mail
from sluice.ports.accounts import AccountStore, Throttles
from sluice.services.accounts.login_throttle import remember_place
from sluice.services.accounts.redeem import MailedCodes
from sluice.services.accounts.security_events import SecurityEvents


@dataclass(frozen=True)
class Verification:
    accounts: AccountStore
    codes: MailedCodes
    throttles: Throttles
    events: SecurityEvents

    def redeem(self, code: str, visitor: Visitor) -> str:
        """→ the account's id. A code has one purpose, so at most one of the two accepts it.

        Errors: MailedCodeInvalid, TooManyAttempts (of this client), StoreUnavailable.
        """
        with self.codes.redeeming(visitor):
            account_id = self._redeem(code, visitor)
        remember_place(self.throttles, self.accounts, account_id, visitor)
        return account_id

    def _redeem(self, code: str, visitor: Visitor) -> str:
        try:
            return self._verify_email(code, visitor.now_ms)
        except MailedCodeInvalid:
            account_id = self._change_email(code, visitor.now_ms)
        self.events.note(Action.EMAIL_CHANGED, account_id, visitor)
        return account_id

    def _verify_email(self, code: str, now_ms: int) -> str:
        """The account becomes active, by one conditional write."""
        mail = self.codes.mail_of(code, Kind.VERIFY_EMAIL)
        self.accounts.redeem_verification(mail.account_id, mail.mail_id, now_ms)
        return mail.account_id

    def _change_email(self, code: str, now_ms: int) -> str:
        """Replace the address and queue a notice to the old one in one transaction. It fails if another account
        verified the new address in the meantime."""
        mail = self.codes.mail_of(code, Kind.CHANGE_EMAIL)
        account = self.accounts.get(mail.account_id)
        newest = account.codes.get(Kind.CHANGE_EMAIL) if account else None
        if account is None or newest is None or newest.mail_id != mail.mail_id or newest.expires_ms <= now_ms:
            raise MailedCodeInvalid()
        data = {"new_email": newest.new_email}
        notice = new_mail(Kind.EMAIL_CHANGED, account_id=account.account_id, to=account.email, now_ms=now_ms, data=data)
        try:
            self.accounts.redeem_email_change(account, newest, notice, now_ms)
        except AddressTaken as exc:
            raise MailedCodeInvalid() from exc
        return account.account_id
