"""What an admin may change about an account. Each call is written to the audit log, also if it changes nothing.

The event is written after the change. If that fails, the admin gets 503 and repeats the call, which then writes the
event: each call may be repeated.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from sluice.domain.accounts.account import Account, Role, Status
from sluice.domain.accounts.audit import Action, AuditEvent, new_event
from sluice.domain.errors import Conflict, FieldProblem, Forbidden, NotFound, StoreUnavailable, ValidationFailed
from sluice.domain.gateway.admission import GOOD, Grant
from sluice.domain.phrases import phrase
from sluice.domain.settings.terms import NO_TERMS, Terms
from sluice.ports.accounts import AccountStore, AuditLog
from sluice.ports.gateway import GrantStore, HotStore

log = logging.getLogger("sluice.audit")

ATTEMPTS = 5  # because others may change the same account at the same time


@dataclass(frozen=True)
class Actor:
    """`account_id`: the admin's, or `sluice.domain.accounts.audit.OPERATOR`. `client`: the admin's network address."""

    account_id: str
    client: str = ""


def plan_problem(plan: str, terms: Terms) -> str:
    """What is wrong with the name of a plan, or empty."""
    if plan in terms.plans:
        return ""
    if not terms.plans:
        return phrase("There is no such plan. The owner's settings have no plans.")
    return phrase("There is no such plan. The plans are %(plans)s.", plans=", ".join(terms.plans))


@dataclass(frozen=True)
class Administration:
    """Every method may raise NotFound and StoreUnavailable."""

    accounts: AccountStore
    grants: GrantStore
    hot: HotStore
    audit: AuditLog
    terms: Callable[[], Terms] = lambda: NO_TERMS

    def suspend(self, by: Actor, account_id: str, now_ms: int) -> Account:
        """Write the grant first: it ends admissions, and streams at their next checkpoint. Errors: Forbidden (self)."""
        if account_id == by.account_id:
            raise Forbidden("You cannot suspend yourself.")
        before = self._account(account_id)
        self.grants.set_standing(account_id, "suspended")
        after = self._set_status(account_id, "suspended")
        self._log(by, Action.USER_SUSPENDED, before, now_ms, {"status": before.status}, {"status": after.status})
        return after

    def restore(self, by: Actor, account_id: str, now_ms: int) -> Account:
        """Undo a suspension. An account that never verified its address must still do so."""
        before = self._account(account_id)
        after = before
        if before.status == "suspended":
            after = self._set_status(account_id, "active" if before.verified_ms else "pending")
        self.grants.set_standing(account_id, GOOD)
        self._log(by, Action.USER_RESTORED, before, now_ms, {"status": before.status}, {"status": after.status})
        return after

    def set_limits(self, by: Actor, account_id: str, wanted: Mapping[str, int], now_ms: int) -> Account:
        """Omitted limits stay unchanged. The new limits apply from the next request. Errors: Conflict."""
        account = self._account(account_id)
        for _ in range(ATTEMPTS):
            grant = self._grant(account_id)
            before, own = grant.limits, {**(grant.own or {}), **wanted}
            after = replace(before, **wanted)
            try:
                self.grants.set_limits(account_id, before, after, own, grant.own)
            except Conflict:
                continue
            self._log(by, Action.LIMITS_CHANGED, account, now_ms, asdict(before), asdict(after))
            return account
        raise Conflict("These limits are being changed by someone else.")

    def set_plan(self, by: Actor, account_id: str, plan: str, now_ms: int) -> Account:
        """Its limits apply from the next request, and the account's own ones end. Errors: ValidationFailed (no such
        plan; names those that there are)."""
        account, before = self._account(account_id), self._grant(account_id).plan
        if problem := plan_problem(plan, self.terms()):
            raise ValidationFailed((FieldProblem("plan", problem),))
        self.grants.set_plan(account_id, plan)
        self._log(by, Action.PLAN_CHANGED, account, now_ms, {"plan": before}, {"plan": plan})
        return account

    def set_role(self, by: Actor, account_id: str, role: Role, now_ms: int) -> Account:
        """Set the role, which applies from the next request because each reads it. Admins cannot change their own role,
        so one admin always remains. Errors: Forbidden (oneself), Conflict (an account that is not active: an unverified
        address may belong to a stranger)."""
        if account_id == by.account_id:
            raise Forbidden("You cannot change your own role.")
        before = self._account(account_id)
        if role == "admin" and before.status != "active":
            raise Conflict(f"This account is {before.status}: only an active one can be made an admin.")
        self.accounts.set_role(account_id, role)
        self._log(by, Action.ROLE_CHANGED, before, now_ms, {"role": before.role}, {"role": role})
        return replace(before, role=role)

    def _account(self, account_id: str) -> Account:
        account = self.accounts.get(account_id)
        if account is None or account.status == "deleting":
            raise NotFound("There is no such user.")
        return account

    def _grant(self, account_id: str) -> Grant:
        grant = self.hot.grant(account_id)
        if grant is None:
            raise NotFound("There is no such user.")
        return grant

    def _set_status(self, account_id: str, status: Status) -> Account:
        for _ in range(ATTEMPTS):
            account = self._account(account_id)
            if account.status == status:
                return account
            try:
                self.accounts.set_status(account, status)
            except Conflict:
                continue  # changed at the same time: verified, deleted, or suspended by another admin
            return replace(account, status=status)
        raise Conflict("This account is being changed by someone else.")

    def _log(
        self,
        by: Actor,
        action: Action,
        account: Account,
        now_ms: int,
        before: Mapping[str, str | int],
        after: Mapping[str, str | int],
    ) -> None:
        event: AuditEvent = new_event(
            action,
            actor=by.account_id,
            target=account.account_id,
            now_ms=now_ms,
            before=before,
            after=after,
            client=by.client,
        )
        try:
            self.audit.put(event)
        except StoreUnavailable:
            log.error("change is missing in the audit log: %s %s by %s", action, account.account_id, by.account_id)
            raise
