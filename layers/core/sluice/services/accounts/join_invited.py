"""Register by an invitation. Its mailed code proves the address, so the account is ready without another mail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.domain.accounts.account import Account, Address, Invitation
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import MailedCodeInvalid, MailedCodeUsed
from sluice.domain.mails.mail import Kind
from sluice.ports.accounts import AccountStore, Throttles
from sluice.services.accounts.login_throttle import remember_place
from sluice.services.accounts.may_join import may_join
from sluice.services.accounts.new_passwords import NewPasswords
from sluice.services.accounts.redeem import MailedCodes
from sluice.services.accounts.registered_fields import checked
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.accounts.used_quota import QuotaOfAddress

OTHER_ADDRESS = "This invitation is for another address."


@dataclass(frozen=True)
class InvitedRegistration:
    """Errors of both methods: MailedCodeInvalid, Forbidden (sign-up is closed), TooManyAttempts (of this client),
    StoreUnavailable."""

    accounts: AccountStore
    codes: MailedCodes
    passwords: NewPasswords
    quotas: QuotaOfAddress
    throttles: Throttles
    events: SecurityEvents
    site: Callable[[], Any]

    def invited(self, code: str, visitor: Visitor) -> str:
        """The invited address. It uses nothing up."""
        with self.codes.redeeming(visitor):
            return self._account(code, visitor.now_ms)[1].email

    def register(self, code: str, email: str, password: str, name: str | None, visitor: Visitor) -> None:
        """One conditional write, and the code is used up. The plan of the invitation is in the account's grant already.
        After ValidationFailed the code stays valid. Errors: MailedCodeUsed (by this very code), ValidationFailed,
        Overloaded."""
        now_ms = visitor.now_ms
        with self.codes.redeeming(visitor):
            account, _ = self._account(code, now_ms)

            def problem_of(given: Address) -> str:
                return "" if given.key == account.email_key else OTHER_ADDRESS

            display = checked(self.passwords, email, password, name, problem_of)[1]
            password_hash = self.passwords.hash(password)
            self.quotas.arrive(account.account_id, account.email_key, now_ms)
            self.accounts.redeem_invitation(account, password_hash, display, now_ms)
            self.events.note(Action.INVITATION_ACCEPTED, account.account_id, visitor)
        remember_place(self.throttles, self.accounts, account.account_id, visitor)

    def _account(self, code: str, now_ms: int) -> tuple[Account, Invitation]:
        mail = self.codes.mail_of(code, Kind.INVITATION)
        account = self.accounts.get(mail.account_id)
        if account is None:
            raise MailedCodeInvalid()
        if account.redeemed == mail.mail_id and account.status == "active":
            raise MailedCodeUsed()
        invitation = account.invitation
        if invitation is None or invitation.mail_id != mail.mail_id or not account.is_invited(now_ms):
            raise MailedCodeInvalid()
        may_join(self.site(), Address(invitation.email, account.email_key), account, now_ms)
        return account, invitation
