"""Invitations in the accounts table: an unverified account with an `invitation`, which ends with it (docs/adr/0132).

So of the code's redemption, its withdrawal, a second mail and the account's end, exactly one is first, because each is
a conditional write on the account.
"""

from dataclasses import asdict
from typing import Any

from sluice.adapters.accounts.writes import IS_OF_ACCOUNT, AccountWrites, delete, now, put
from sluice.adapters.aws import dynamo
from sluice.adapters.mails.store import mail_item
from sluice.domain.accounts.account import Account, Invitation
from sluice.domain.errors import Conflict
from sluice.domain.mails.mail import Mail

# Nobody verified the address, and the invitation is the one that was read: not sent again, withdrawn or expired.
INVITATION_IS_AS_READ = "#status = :pending AND invitation.mail_id = :seen"
INVITATION_IS_LIVE = f"{INVITATION_IS_AS_READ} AND invitation.expires_ms > :now_ms AND ttl_s > :now_s"
IS_NOT_INVITED = "#status = :pending AND attribute_not_exists(invitation) AND ttl_s > :now_s"
# Nobody registered the address beside the invitation, so the account was made by it alone.
NOBODY_REGISTERED = "registrations = :none"


class InvitedAccounts(AccountWrites):
    """A part of `sluice.ports.AccountStore`. Errors of every method: StoreUnavailable."""

    def put_invitation(self, account: Account, invitation: Invitation, mail: Mail) -> None:
        """All three items of the account then live as long as the invitation. Errors: Conflict."""
        ttl, before = {":ttl": invitation.expires_ms // 1000}, account.invitation
        is_as_read = {":seen": before.mail_id} if before else {":now_s": mail.created_ms // 1000}
        update = self._updating(
            account.account_id,
            "SET invitation = :invitation, ttl_s = :ttl",
            INVITATION_IS_AS_READ if before else IS_NOT_INVITED,
            {"#status": "status"},
            {":invitation": asdict(invitation), ":pending": "pending", **ttl, **is_as_read},
        )
        is_own = {":account_id": account.account_id}
        address = self._updating("email#" + account.email_key, "SET ttl_s = :ttl", IS_OF_ACCOUNT, {}, ttl | is_own)
        self._invite(update, address, self._of_plan(account, invitation.plan, ttl), put(self._mails, mail_item(mail)))

    def withdraw_invitation(self, account: Account) -> None:
        account_id, mail_id = account.account_id, account.invitation.mail_id if account.invitation else ""
        names, values = {"#status": "status"}, {":pending": "pending", ":seen": mail_id}
        mail = delete(self._mails, {"mail_id": mail_id}, "", {}, {})  # so that it is not sent any more
        if account.registrations:
            ended = self._updating(account_id, "REMOVE invitation", INVITATION_IS_AS_READ, names, values)
            self._invite(ended, self._of_plan(account, "", {}), mail)
            return
        alone = f"{INVITATION_IS_AS_READ} AND {NOBODY_REGISTERED}"
        address = {"pk": "email#" + account.email_key}
        self._invite(
            delete(self._accounts, {"pk": account_id}, alone, names, {**values, ":none": {}}),
            delete(self._accounts, address, IS_OF_ACCOUNT, {}, {":account_id": account_id}),
            delete(self._grants, {"account_id": account_id}, "", {}, {}),
            mail,
        )

    def redeem_invitation(self, account: Account, password_hash: str, name: str, now_ms: int) -> None:
        """pending → active, in one write that also ends what others registered. Errors: MailedCodeInvalid."""
        mail_id = account.invitation.mail_id if account.invitation else ""
        update = self._updating(
            account.account_id,
            "SET #status = :active, verified_ms = :now_ms, redeemed = :seen, email = invitation.email, "
            "password_hash = :hash, #name = :name REMOVE registrations, invitation, ttl_s",
            INVITATION_IS_LIVE,
            {"#status": "status", "#name": "name"},
            {
                ":active": "active",
                ":pending": "pending",
                ":seen": mail_id,
                ":hash": password_hash,
                ":name": name,
                **now(now_ms),
            },
        )
        self._redeem(update, *self._kept(account))

    def _of_plan(self, account: Account, plan: str, ttl: dict[str, int]) -> Any:
        """Version 0 makes the first admission write the plan's limits. Without a plan it is the default one."""
        change = "SET pv = :zero" + (", ttl_s = :ttl" if ttl else "") + (", #plan = :plan" if plan else " REMOVE #plan")
        grant = self._updating_grant(account, change, {":zero": 0, **ttl, **({":plan": plan} if plan else {})})
        grant["Update"]["ExpressionAttributeNames"] = {"#plan": "plan"}
        return grant

    def _invite(self, *writes: Any) -> None:
        try:
            self._transact(*writes)
        except dynamo.ConditionFailed as exc:
            raise Conflict("This invitation was used, withdrawn or sent again meanwhile.") from exc
