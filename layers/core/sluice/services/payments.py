"""Payment: the plan of an account follows its subscription (ADR 129).

An event is only a reason to look: what holds is what the payment service says when it is asked. So events may come
twice, late and in any order. Each look ends with a write that names the version read before the look,

    read version 7 ─ ask the service ─ write version 8, if it is 7 still ─ (else from the beginning)

so whoever writes has asked after everybody who wrote before, and no older answer overwrites a newer one. A look that
finds nothing new writes its version, too, because one that has asked earlier may still be on its way.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.audit import STRIPE, Action, AuditEvent, new_event
from sluice.domain.errors import Conflict, FieldProblem, NotFound, PaymentUnavailable, ValidationFailed
from sluice.domain.ids import is_id
from sluice.domain.payments import Checkout, NoCustomer, NoPayment, Notice, Payer, Subscription, Untold, paid_plan
from sluice.domain.phrases import phrase
from sluice.domain.settings.terms import Terms
from sluice.ports.accounts import AccountStore, AuditLog, Throttles
from sluice.ports.payments import PayerStore, PaymentService

log = logging.getLogger("sluice.payments")

ATTEMPTS = 5  # because other events of the same account may come at the same time


@dataclass(frozen=True)
class Payments:
    """Every method may raise StoreUnavailable, and all but `payer` NoPayment and PaymentUnavailable, after which it can
    be repeated."""

    payers: PayerStore
    accounts: AccountStore
    audit: AuditLog
    throttles: Throttles
    service: Callable[[], PaymentService]
    terms: Callable[[], Terms]
    now_ms: Callable[[], int]

    def payer(self, account_id: str) -> Payer:
        """Errors: NotFound."""
        if (payer := self.payers.payer(account_id)) is None:
            raise NotFound()
        return payer

    # --- what happened at the payment service

    def heard(self, notice: Notice) -> None:
        """Of an event, however often and in whatever order."""
        if not notice.matters:
            return
        account_id = notice.account_id or (self._account_of(notice.customer) if notice.customer else "")
        known = is_id("usr_", account_id) and (self.follow(account_id) or self._recalled(account_id, notice.customer))
        if not known:
            log.info("an event of no account here", extra={"kind": notice.kind})

    def _recalled(self, account_id: str, customer: str) -> bool:
        """The customer of an account whose store was restored as it was before there was one: else who pays would have
        no plan, and would pay twice by the next customer. → whether it is this account's."""
        payer = self.payers.payer(account_id)
        if payer is None or payer.customer or not customer or self._account_of(customer) != account_id:
            return False
        try:
            self.payers.begin(payer, customer)
        except Conflict:  # by another event; or the account is suspended or being deleted
            return False
        return self.follow(account_id)

    def _account_of(self, customer: str) -> str:
        try:
            return self.service().account_of(customer)
        except NoCustomer:
            return ""

    def follow(self, account_id: str) -> bool:
        """Give the account the plan that it pays for now. → whether it has ever begun to pay."""
        for _ in range(ATTEMPTS):
            payer = self.payers.payer(account_id)
            if payer is None or not payer.customer:
                return False
            if self._followed(payer, self._subscriptions(payer)):
                return True
        raise PaymentUnavailable()

    def _subscriptions(self, payer: Payer) -> Sequence[Subscription]:
        try:
            return self.service().subscriptions(payer.customer)
        except NoCustomer:
            return ()

    def _followed(self, payer: Payer, found: Sequence[Subscription]) -> bool:
        """`payer` was read before `found`. → whether that still holds, and is written."""
        if payer.untold:  # whoever made that change was interrupted
            self._tell(payer.account_id, payer.untold)
        paid = paid_plan(found, self.terms())
        if paid is None:
            log.error("a subscription to a price of no plan: the plan stays", extra={"account_id": payer.account_id})
            paid = payer.paid
        # What an admin chose stays until the subscription itself says something new.
        plan = payer.plan if paid == payer.paid else paid
        now_ms = self.now_ms()
        untold = None
        if plan != payer.plan:
            event = new_event(Action.PLAN_CHANGED, actor=STRIPE, target=payer.account_id, now_ms=now_ms)
            untold = Untold(event.event_id, now_ms, payer.plan, plan)
        try:
            self.payers.write(payer, paid, plan, untold)
        except Conflict:
            return False
        if untold:
            self._tell(payer.account_id, untold)
            told = replace(payer, version=payer.version + 1, paid=paid, plan=plan)
            try:
                self.payers.write(told, paid, plan, None)
            except Conflict:
                return True  # whoever was quicker has found it untold, and told it once more, which changes nothing
        return True

    def _tell(self, account_id: str, change: Untold) -> None:
        """Repeating it writes nothing."""
        before, after = {"plan": change.before}, {"plan": change.after}
        self.audit.put(
            AuditEvent(change.event_id, Action.PLAN_CHANGED, STRIPE, account_id, change.at_ms, before, after)
        )

    # --- what the owner of an account asks for; each may raise TooManyAttempts

    def look(self, account_id: str) -> None:
        """As `follow`, because its owner cannot wait for the event."""
        self._ask(account_id)
        self.follow(account_id)

    def checkout(self, account_id: str, plan: str, back: str, language: str = "") -> str:
        """→ the address of the page where the plan is paid for; of the portal, if the account pays already.

        An account has one open page at most whose address anybody knows, so nobody pays twice: an address is told only
        after a write that names the version from before the open pages were read, and the others were closed.
        Errors: ValidationFailed (no such plan is sold), Conflict (suspended, or too many at once)."""
        price = self._price(plan)
        self._ask(account_id)
        for _ in range(ATTEMPTS):
            payer = self.payer(account_id)
            if not payer.customer:
                payer = self._new_customer(payer)
            try:
                kept = self._closed_but(payer, price)
                found = self.service().subscriptions(payer.customer)  # afterwards: a page that was paid is closed
            except NoCustomer:
                self._new_customer(payer)
                continue
            pays = any(one.may_cost for one in found)
            if pays and kept:
                self.service().expire(kept.checkout_id)
            elif not pays and not kept:
                kept = self.service().new_checkout(payer, price, back, language)
            if self._followed(payer, found):
                return kept.url if kept and not pays else self.service().portal(payer.customer, back, language)
        raise Conflict("This is being changed in another window. Try again in a moment.")

    def _ask(self, account_id: str) -> None:
        self.throttles.take(rules.key(rules.ASK_STRIPE, account_id), rules.ASK_STRIPE, self.now_ms())

    def _price(self, plan: str) -> str:
        terms = self.terms()
        if plan in terms.plans and terms.plans[plan].stripe_price:
            return terms.plans[plan].stripe_price
        sold = ", ".join(name for name, one in terms.plans.items() if one.stripe_price)
        raise ValidationFailed(
            (FieldProblem("plan", phrase("No such plan is sold. These are: %(plans)s.", plans=sold)),)
        )

    def _closed_but(self, payer: Payer, price: str) -> Checkout | None:
        """Closes the account's open pages but one of this price, which is returned."""
        kept: Checkout | None = None
        for one in self.service().open_checkouts(payer.customer):
            if one.price == price and one.url and kept is None:
                kept = one
            else:
                self.service().expire(one.checkout_id)
        return kept

    def portal(self, account_id: str, back: str, language: str = "") -> str:
        """→ the address of its page about payment. Errors: NotFound (the account has never begun to pay)."""
        payer = self.payer(account_id)
        if not payer.customer:
            raise NotFound("This account has not paid anything yet.")
        self._ask(account_id)
        return self.service().portal(payer.customer, back, language)

    def _new_customer(self, before: Payer) -> Payer:
        """Two at once make one, by the same key."""
        account = self.accounts.get(before.account_id)
        if account is None:
            raise NotFound()
        about = f"{account.account_id} {account.email} {before.customer}"
        key = "sluice-" + hashlib.sha256(about.encode()).hexdigest()
        customer = self.service().new_customer(account.account_id, account.email, key)
        try:
            self.payers.begin(before, customer)
        except Conflict:
            if self.payer(account.account_id).version == before.version:
                raise  # no other window was quicker
        return self.payer(account.account_id)

    # --- the end of an account

    def end(self, account_id: str) -> None:
        """Of an account that is being deleted: nothing more is charged, and the service forgets who it was."""
        payer = self.payers.payer(account_id)
        if payer is None or not payer.customer:
            return
        terms = self.terms()  # read now, because a process that could not read any settings yet knows of no payment
        try:
            self.service().delete_customer(payer.customer)
        except NoPayment as exc:
            if terms.version != terms.newest:  # which is broken, and may name one
                raise PaymentUnavailable() from exc
            log.error("no payment is set up any more: delete the customer %s at Stripe", payer.customer)
        self.payers.forget(account_id)
