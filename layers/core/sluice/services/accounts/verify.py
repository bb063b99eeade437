"""Redeem a mailed code that verifies an address: of a registration, or of a change of address."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.domain.accounts.account import Account, Address, AddressTaken
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import MailedCodeInvalid, MailedCodeUsed
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.ports.accounts import AccountStore, Throttles
from sluice.services.accounts.login_throttle import remember_place
from sluice.services.accounts.may_join import may_join
from sluice.services.accounts.redeem import MailedCodes
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.accounts.used_quota import QuotaOfAddress


@dataclass(frozen=True)
class Verification:
    accounts: AccountStore
    codes: MailedCodes
    throttles: Throttles
    events: SecurityEvents
    quotas: QuotaOfAddress
    site: Callable[[], Any]
    """Of `may_join`."""

    def redeem(self, code: str, visitor: Visitor) -> str:
        """→ the account's id. A code has one purpose, so at most one of the two accepts it.

        Errors: MailedCodeInvalid (MailedCodeUsed if this code verified the account's address), Forbidden (nobody may
        make an account with this address now), TooManyAttempts (of this client), StoreUnavailable.
        """
        with self.codes.redeeming(visitor):
            account_id = self._redeem(code, visitor)
        remember_place(self.throttles, self.accounts, account_id, visitor)
        return account_id

    def _redeem(self, code: str, visitor: Visitor) -> str:
        try:
            return self._verify_email(code, visitor.now_ms)
        except MailedCodeUsed:
            raise
        except MailedCodeInvalid:
            account_id = self._change_email(code, visitor.now_ms)
        self.events.note(Action.EMAIL_CHANGED, account_id, visitor)
        return account_id

    def _verify_email(self, code: str, now_ms: int) -> str:
        """The account becomes active with the password of the code's registration, by one conditional write."""
        mail, account = self._found(code, Kind.VERIFY_EMAIL)
        if mail.mail_id not in account.registrations:
            raise MailedCodeInvalid()
        may_join(self.site(), Address(account.email, account.email_key), account, now_ms)
        self.quotas.arrive(account.account_id, account.email_key, now_ms)
        self.accounts.redeem_verification(account, mail.mail_id, now_ms)
        return account.account_id

    def _found(self, code: str, purpose: Kind) -> tuple[Mail, Account]:
        mail = self.codes.mail_of(code, purpose)
        account = self.accounts.get(mail.account_id)
        if account is None:
            raise MailedCodeInvalid()
        if account.redeemed == mail.mail_id and account.status == "active":
            raise MailedCodeUsed()
        return mail, account

    def _change_email(self, code: str, now_ms: int) -> str:
        """Replace the address and queue a notice to the old one in one transaction. It fails if another account
        verified the new address in the meantime."""
        mail, account = self._found(code, Kind.CHANGE_EMAIL)
        newest = account.codes.get(Kind.CHANGE_EMAIL)
        if newest is None or newest.mail_id != mail.mail_id or newest.expires_ms <= now_ms:
            raise MailedCodeInvalid()
        data = {"new_email": newest.new_email}
        told: dict[str, Any] = {"data": data, "language": account.language or mail.language}
        notice = new_mail(Kind.EMAIL_CHANGED, account_id=account.account_id, to=account.email, now_ms=now_ms, **told)
        added = self.quotas.move(account.account_id, account.email_key, newest.new_email_key, now_ms)
        try:
            self.accounts.redeem_email_change(account, newest, notice, now_ms)
        except (AddressTaken, MailedCodeInvalid) as exc:
            now = self.accounts.get(account.account_id)
            if now and now.email_key != newest.new_email_key:  # otherwise a concurrent call has moved it
                self.quotas.stay(account.account_id, added, now_ms)
            raise MailedCodeInvalid() from exc
        return account.account_id
