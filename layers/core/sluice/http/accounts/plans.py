"""Requests and answers of `/account/plan`."""

from pydantic import ConfigDict, Field, StrictStr

from sluice.domain.payments import Payer
from sluice.domain.settings.terms import PlanTerms, Terms
from sluice.domain.usage.pricing import usd
from sluice.http.lazy_model import BaseModel


class PlanInfo(BaseModel):
    name: str
    price: str = Field(description="in the owner's words; empty where they say none")
    for_sale: bool = Field(description="whether `POST /account/plan` sells it")
    limits: dict[str, int] = Field(description="those that the plan names: `rpm`, `tpm`, `concurrency`, …")
    monthly_usd: float | None = Field(description="dollars that it may use a month; null: no bound")
    models: list[str] | None = Field(description="null: all")

    @classmethod
    def of(cls, name: str, plan: PlanTerms) -> "PlanInfo":
        return cls(
            name=name,
            price=plan.price,
            for_sale=bool(plan.stripe_price),
            limits=dict(plan.limits),
            monthly_usd=usd(plan.monthly_micro_usd),
            models=None if plan.models is None else sorted(plan.models),
        )


class PlanList(BaseModel):
    plan: str = Field(description="the one that the account has")
    paid: str | None = Field(description="the one that its subscription pays for; null: there is none")
    data: list[PlanInfo]

    @classmethod
    def of(cls, payer: Payer, terms: Terms) -> "PlanList":
        plan = payer.plan if payer.plan in terms.plans else terms.default_plan
        shown = [PlanInfo.of(name, terms.plans[name]) for name in offered(payer, terms)]
        return cls(plan=plan, paid=payer.paid or None, data=shown)


def offered(payer: Payer, terms: Terms) -> list[str]:
    """The plans that concern this account: what is for sale, what is free, and what it has."""
    return [name for name, plan in terms.plans.items() if plan.stripe_price or name in (terms.default_plan, payer.plan)]


class PlanChangeBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    plan: StrictStr | None = Field(None, max_length=64, description="one that is for sale; left out: the portal")


class PaymentPage(BaseModel):
    url: str = Field(description="a page of Stripe's, for the browser of the account's owner")
