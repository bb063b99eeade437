"""The owner's settings as the gateway uses them: prices and plans by name, with money in integer micro-dollars."""

from __future__ import annotations  # without settings their form is never imported

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice.domain.usage.pricing import Prices

if TYPE_CHECKING:
    from sluice.domain.settings.owners import Model, OwnersSettings

NO_MODEL = "none"  # the model's name in the ledger, for requests that no model answers
PRICES = ("prompt", "completion", "cached", "request", "second")


@dataclass(frozen=True)
class PlanTerms:
    """`limits`: those that the plan names. None: no bound, or all models."""

    limits: Mapping[str, int] = field(default_factory=dict)
    monthly_micro_usd: int | None = None
    storage_bytes: int | None = None
    models: frozenset[str] | None = None

    def allows(self, model: str) -> bool:
        return self.models is None or model in self.models or model == NO_MODEL


@dataclass(frozen=True)
class Terms:
    """`version` of the settings, 0 without any. `newest`: of those in the store, which may be broken. `prices`: by a
    model's id; none for models without a price."""

    version: int = 0
    newest: int = 0
    prices: Mapping[str, Prices] = field(default_factory=dict)
    plans: Mapping[str, PlanTerms] = field(default_factory=dict)
    default_plan: str = ""

    def plan(self, name: str) -> PlanTerms:
        """The plan of an account; the default one where the name is empty or no plan's any more."""
        return self.plans.get(name) or self.plans.get(self.default_plan) or NO_PLAN


NO_PLAN = PlanTerms()
NO_TERMS = Terms()


def terms_of(version: int, newest: int, settings: OwnersSettings) -> Terms:
    from sluice.domain.settings.owners import micro_usd

    priced = {model.id: _prices(model) for model in settings.models}
    plans = {
        plan.name: PlanTerms(
            plan.limits(),
            None if plan.monthly_usd is None else micro_usd(plan.monthly_usd),
            None if plan.storage_mb is None else plan.storage_mb * 1_048_576,
            None if plan.models is None else frozenset(plan.models),
        )
        for plan in settings.plans
    }
    default = settings.default_plan
    prices = {name: price for name, price in priced.items() if price is not None}
    return Terms(version, newest, prices, plans, default.name if default else "")


def _prices(model: Model) -> Prices | None:
    from sluice.domain.settings.owners import micro_usd

    given = {f"{what}_micro_usd": getattr(model, f"{what}_usd") for what in PRICES}
    amounts = {name: micro_usd(text) for name, text in given.items() if text is not None}
    return Prices(**amounts, max_seconds=model.max_seconds or 0) if amounts else None
