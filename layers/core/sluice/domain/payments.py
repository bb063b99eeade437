"""Which plan an account has by what it pays: a function of its subscriptions as they are now (ADR 129)."""

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.domain.errors import NotFound
from sluice.domain.settings.terms import Terms

# https://docs.stripe.com/api/subscriptions/object#subscription_object-status. While Stripe still tries to collect
# (`past_due`), the plan stays; what it has given up, and what was never paid, gives none.
LIVE = frozenset({"active", "trialing", "past_due"})
ACCOUNT = "sluice_account"  # the name in Stripe's metadata of whom something is for
# Of other events nothing follows for a plan.
KINDS = ("checkout.session.", "customer.subscription.", "customer.deleted", "invoice.")


class NoPayment(NotFound):
    """The owner's settings name no key of a payment service."""


class NoCustomer(NotFound):
    """The payment service has deleted this customer, or never had it."""


@dataclass(frozen=True)
class Subscription:
    """`prices`: the ids of what is subscribed to. `created_s`: Unix seconds."""

    subscription_id: str
    status: str
    prices: tuple[str, ...]
    created_s: int

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def may_cost(self) -> bool:
        """Now, or once an unpaid invoice is paid. Stripe itself ends one that never began, `incomplete`, in a day."""
        return self.status not in ("incomplete", "incomplete_expired", "canceled")


@dataclass(frozen=True)
class Checkout:
    """An open page of the payment service. `price`: which it sells."""

    checkout_id: str
    price: str
    url: str


@dataclass(frozen=True)
class Notice:
    """What an event is about, as far as it says: an account, or else a customer. Either may be empty."""

    kind: str
    account_id: str = ""
    customer: str = ""

    @property
    def matters(self) -> bool:
        return self.kind.startswith(KINDS)


@dataclass(frozen=True)
class Untold:
    """A change of a plan whose event is not in the audit log yet."""

    event_id: str
    at_ms: int
    before: str
    after: str


@dataclass(frozen=True)
class Payer:
    """An account. `customer`: empty until it begins to pay. `version` counts the writes of this; each was decided by
    what was read after the one before. `paid`: the plan that it paid for when that was last asked, empty for none.
    `plan`: the one it has, which an admin may have chosen; empty for the default one."""

    account_id: str
    customer: str = ""
    version: int = 0
    paid: str = ""
    plan: str = ""
    untold: Untold | None = None


def paid_plan(subscriptions: Iterable[Subscription], terms: Terms) -> str | None:
    """The plan of the newest live subscription; empty if none is live; None if one is, but its price is of no plan."""
    live = sorted((one for one in subscriptions if one.is_live), key=lambda one: (one.created_s, one.subscription_id))
    for one in reversed(live):
        for price in one.prices:
            if (plan := terms.plan_of_price(price)) is not None:
                return plan
    return None if live else ""
