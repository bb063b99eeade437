"""Invitations by admins: an unverified account that waits for the invited person, with the plan in its grant.

It ends by itself after `UNVERIFIED_MS`, as every unverified account does. The admin learns whether an address has an
account; nobody else does (docs/adr/0132).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sluice.domain.accounts.account import UNVERIFIED_MS, Account, Address, Invitation, parse_address
from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict, FieldProblem, NotFound, TooManyAttempts, ValidationFailed
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.domain.settings.terms import Terms
from sluice.ports.accounts import AccountStore, AuditLog
from sluice.services.cursors import cursor, position
from sluice.services.mails.throttle import MailThrottle
from sluice.services.operations.admin import Actor, plan_problem
from sluice.services.operations.users import SCANNED_ITEMS, UserList

INVITED = "invitations"
MOST_SENT = 5  # mails of one invitation
FEW_MAILS = "This address was sent several mails. Wait a little, then try again."
FEW_MAILS_SECONDS = 120


@dataclass(frozen=True)
class Invitations:
    """`limits`: of a new account. Every method may raise StoreUnavailable."""

    accounts: AccountStore
    audit: AuditLog
    throttle: MailThrottle
    terms: Callable[[], Terms]
    site: Callable[[], Any]
    """→ its `sign_up`."""
    limits: Callable[[], Mapping[str, Any]]
    """Of `new_grant`."""

    def page(self, now_ms: int, *, limit: int, after: str | None = None) -> UserList:
        """The accounts that wait with an invitation, in no order. A page may be empty without being the last. Errors:
        ValidationFailed (a malformed cursor)."""
        after_id = position(INVITED, after, 1)[0] if after else None
        found, next_id = self.accounts.page("", limit=limit, after_id=after_id, scanned=SCANNED_ITEMS, invited=True)
        open_ones = [one for one in found if one.is_invited(now_ms) and one.status == "pending"]
        return UserList(open_ones, cursor(INVITED, next_id) if next_id else None)

    def invite(self, by: Actor, email: str, plan: str, visitor: Visitor) -> Account:
        """`plan`: empty for the default one. Errors: ValidationFailed (with every problem), Conflict (sign-up is
        closed, the address is invited already or has an account), TooManyAttempts."""
        if self.site().sign_up == "closed":
            raise Conflict("Sign-up is closed, also to invited people. Change sign_up in the settings first.")
        address, now_ms = self._checked(email, plan), visitor.now_ms
        account = self.accounts.by_email(address.key, now_ms)
        if account is not None and account.status != "pending":
            raise Conflict("There is an account with this address already.")
        if account is not None and account.is_invited(now_ms):
            raise Conflict("This address is invited already. Send that invitation again, or withdraw it.")
        self._require_few_mails(address.key, visitor)
        invited = self._put(account, address, plan, by, now_ms)
        self._log(Action.USER_INVITED, by, invited.account_id, now_ms, {"plan": plan} if plan else {})
        return invited

    def resend(self, by: Actor, account_id: str, visitor: Visitor) -> Account:
        """A new code, valid from now for as long as the first was; the old code ends. Errors: NotFound, Conflict (sent
        too often, or changed at the same time), TooManyAttempts."""
        account, before = self._invited(account_id, visitor.now_ms)
        if before.sent >= MOST_SENT:
            raise Conflict(f"This invitation was sent {MOST_SENT} times. Withdraw it to make another.")
        self._require_few_mails(account.email_key, visitor)
        mail = _mail(account_id, before.email, visitor.now_ms)
        after = replace(before, mail_id=mail.mail_id, expires_ms=mail.expires_ms, sent=before.sent + 1)
        self.accounts.put_invitation(account, after, mail)
        self._log(Action.USER_INVITED, by, account_id, visitor.now_ms, {"sent": after.sent})
        return replace(account, invitation=after)

    def withdraw(self, by: Actor, account_id: str, now_ms: int) -> None:
        """Its code is invalid at once. Errors: NotFound, Conflict (used or sent again at the same time)."""
        account, _ = self._invited(account_id, now_ms)
        self.accounts.withdraw_invitation(account)
        self._log(Action.INVITATION_WITHDRAWN, by, account_id, now_ms, {})

    def _put(self, account: Account | None, address: Address, plan: str, by: Actor, now_ms: int) -> Account:
        account_id = account.account_id if account else random_id("usr_")
        mail = _mail(account_id, address.given, now_ms)
        invitation = Invitation(mail.mail_id, address.given, plan, by.account_id, now_ms, mail.expires_ms)
        if account is not None:
            self.accounts.put_invitation(account, invitation, mail)
            return replace(account, invitation=invitation)
        made = Account(
            account_id=account_id,
            email=address.given,
            email_key=address.key,
            name="",
            password_hash="",
            created_ms=now_ms,
            invitation=invitation,
            ttl_s=(now_ms + UNVERIFIED_MS) // 1000,
        )
        grant = new_grant(account_id, **self.limits(), now_ms=now_ms) | {"ttl_s": made.ttl_s}
        # Version 0 makes the first admission write the plan's limits, or the default's if the plan is gone by then.
        self.accounts.create(made, grant | ({"plan": plan, "pv": 0} if plan else {}), mail)
        return made

    def _checked(self, email: str, plan: str) -> Address:
        problems: list[FieldProblem] = []
        address = Address("", "")
        try:
            address = parse_address(email)
        except ValidationFailed as exc:
            problems += exc.problems
        if plan and (problem := plan_problem(plan, self.terms())):
            problems.append(FieldProblem("plan", problem))
        if problems:
            raise ValidationFailed(tuple(problems))
        return address

    def _invited(self, account_id: str, now_ms: int) -> tuple[Account, Invitation]:
        account = self.accounts.get(account_id)
        if account is None or account.invitation is None or not account.is_invited(now_ms):
            raise NotFound("There is no such invitation: it was used, withdrawn or has expired.")
        return account, account.invitation

    def _require_few_mails(self, email_key: str, visitor: Visitor) -> None:
        if not self.throttle.allows(email_key, Kind.INVITATION, visitor):
            raise TooManyAttempts(FEW_MAILS_SECONDS, FEW_MAILS)

    def _log(self, action: Action, by: Actor, target: str, now_ms: int, after: Mapping[str, str | int]) -> None:
        self.audit.put(
            new_event(action, actor=by.account_id, target=target, now_ms=now_ms, after=after, client=by.client)
        )


def _mail(account_id: str, to: str, now_ms: int) -> Mail:
    return new_mail(Kind.INVITATION, account_id=account_id, to=to, now_ms=now_ms)
