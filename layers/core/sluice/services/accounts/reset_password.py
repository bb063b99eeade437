"""Reset a forgotten password with a mailed code."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from sluice.domain.accounts.account import Account, Address, parse_address
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import MailedCodeInvalid, StoreUnavailable
from sluice.domain.mails.mail import Kind, Mail
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import GrantStore
from sluice.ports.mails import MailStore
from sluice.ports.tokens import TokenStore
from sluice.services.accounts.may_join import refusal
from sluice.services.accounts.new_passwords import NewPasswords, tell_owner
from sluice.services.accounts.redeem import MailedCodes
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.accounts.used_quota import QuotaOfAddress
from sluice.services.mails.queue import queue_code, queue_nothing
from sluice.services.mails.throttle import MailThrottle

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class PasswordReset:
    accounts: AccountStore
    mails: MailStore
    throttle: MailThrottle
    codes: MailedCodes
    passwords: NewPasswords
    events: SecurityEvents
    grants: GrantStore
    tokens: TokenStore
    quotas: QuotaOfAddress
    site: Callable[[], Any]
    """Of `may_join`."""

    def request(self, email: str, visitor: Visitor) -> None:
        """The same for every address. Errors: ValidationFailed (malformed), TooManyAttempts, StoreUnavailable."""
        address = parse_address(email)
        allowed = self.throttle.allows(address.key, Kind.RESET_PASSWORD, visitor)
        account = self.accounts.by_email(address.key, visitor.now_ms)
        if allowed and account and self._may_reset(account, visitor.now_ms):
            # The spelling of an unverified account may be a stranger's. This one is kept if the code is redeemed.
            to = address.given if account.status == "pending" else account.email
            told = {"to": to, "language": visitor.language}
            queue_code(Kind.RESET_PASSWORD, account, accounts=self.accounts, now_ms=visitor.now_ms, **told)
        else:
            queue_nothing(self.mails, visitor.now_ms)

    def redeem(self, code: str, password: str, visitor: Visitor, *, keep_tokens: bool = False) -> None:
        """Set the password, end every session, revoke every API token unless `keep_tokens`, and use up the code, in one
        conditional write. After ValidationFailed the code stays valid.
        Errors: MailedCodeInvalid, ValidationFailed, TooManyAttempts, Overloaded, StoreUnavailable."""
        now_ms = visitor.now_ms
        with self.codes.redeeming(visitor):
            mail = self.codes.mail_of(code, Kind.RESET_PASSWORD)
            account = self._account_of(mail, now_ms)
            self.passwords.check(password, account.email)
            password_hash = self.passwords.hash(password)
            if account.status == "pending":
                self.quotas.arrive(account.account_id, account.email_key, now_ms)
            live = {} if keep_tokens else self.grants.live(account.account_id)
            self._redeem(account, mail, password_hash, now_ms, keep_tokens)
            self._mark_revoked(account, live, now_ms)
            self.events.note(Action.PASSWORD_RESET, account.account_id, visitor)
            tell_owner(account, self.mails, visitor)

    def _account_of(self, mail: Mail, now_ms: int) -> Account:
        """Check the code before hashing the password. The write's condition checks it again and decides."""
        account = self.accounts.get(mail.account_id)
        newest = account.codes.get(Kind.RESET_PASSWORD) if account else None
        if account is None or newest is None or newest.mail_id != mail.mail_id or newest.expires_ms <= now_ms:
            raise MailedCodeInvalid()
        if account.status == "pending" and not self._may_reset(account, now_ms):
            raise MailedCodeInvalid()
        # Each registration of an unverified account may be a stranger's: only what was mailed to is proven.
        return replace(account, email=mail.to, name="") if account.status == "pending" else account

    def _may_reset(self, account: Account, now_ms: int) -> bool:
        """A reset verifies the address of an unverified account, and so makes it one."""
        if account.status != "pending":
            return account.status == "active"
        return not refusal(self.site(), Address(account.email, account.email_key), account, now_ms)

    def _redeem(self, account: Account, mail: Mail, password_hash: str, now_ms: int, keep_tokens: bool) -> None:
        try:
            self.accounts.redeem_reset(account, mail.mail_id, password_hash, now_ms, keep_tokens=keep_tokens)
        except MailedCodeInvalid:
            # The code was used, or only the status changed (by the person's verification link): try once more.
            again = self._account_of(mail, now_ms)
            if again.status == account.status:
                raise
            self.accounts.redeem_reset(again, mail.mail_id, password_hash, now_ms, keep_tokens=keep_tokens)

    def _mark_revoked(self, account: Account, token_ids: Iterable[str], now_ms: int) -> None:
        """For the list of API tokens. Without it they are shown as revoked, too, because the grant decides."""
        try:
            for token_id in token_ids:
                self.tokens.mark_revoked(account.account_id, token_id, now_ms)
        except StoreUnavailable:
            log.warning("revoked API tokens have no time", extra={"account_id": account.account_id})
