"""What the payment use cases need: who pays, and a payment service."""

from collections.abc import Sequence
from typing import Protocol

from sluice.domain.payments import Checkout, Notice, Payer, Subscription, Untold


class PayerStore(Protocol):
    """All may raise StoreUnavailable."""

    def payer(self, account_id: str) -> Payer | None:
        """A consistent read. None: there is no such account."""

    def begin(self, payer: Payer, customer: str) -> None:
        """Its first customer, or another one. Errors: Conflict (it has another by now, or is suspended or being
        deleted)."""

    def write(self, payer: Payer, paid: str, plan: str, untold: Untold | None) -> None:
        """The next version after `payer.version`. A `plan` that differs ends the account's own limits. Errors: Conflict
        (it is not the newest, or the plan is not `payer.plan` any more)."""

    def forget(self, account_id: str) -> None: ...


class PaymentService(Protocol):
    """All may raise PaymentUnavailable, and those that name a customer NoCustomer."""

    def new_customer(self, account_id: str, email: str, key: str) -> str:
        """`key`: the same key makes the same customer."""

    def subscriptions(self, customer: str) -> Sequence[Subscription]:
        """As they are now, without those that have ended."""

    def account_of(self, customer: str) -> str:
        """The account that a customer was made for, or empty."""

    def open_checkouts(self, customer: str) -> Sequence[Checkout]: ...

    def new_checkout(self, payer: Payer, price: str, back: str, language: str) -> Checkout:
        """`back`: our page that its own leads back to. `language`: of its page, or empty."""

    def expire(self, checkout_id: str) -> None:
        """From then on it cannot be paid. No error if it has been paid, or has expired.
        PaymentUnavailable also where it stays open, because somebody is paying there."""

    def portal(self, customer: str, back: str, language: str) -> str:
        """→ its address: cards, invoices, another plan, the end of the subscription."""

    def delete_customer(self, customer: str) -> None:
        """Ends its subscriptions at once. No error if it is gone."""

    def notice(self, body: bytes, signature: str) -> Notice:
        """Errors: NotAuthenticated (the signature is wrong, or five minutes old), InvalidJson."""
