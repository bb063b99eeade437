"""The owner's settings as the gateway uses them: prices and plans by name, with money in integer micro-dollars."""

from __future__ import annotations  # without settings their form is never imported

from collections.abc import Mapping, Sequence
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
    model's id; none for models without a price. `aliases`: other names → the model's id. `stays`: whether a model has a
    server that stays home; `rest_stays`: whether one that names no upstreams has."""

    version: int = 0
    newest: int = 0
    prices: Mapping[str, Prices] = field(default_factory=dict)
    plans: Mapping[str, PlanTerms] = field(default_factory=dict)
    default_plan: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    stays: Mapping[str, bool] = field(default_factory=dict)
    rest_stays: bool = True

    def id_of(self, name: str) -> str:
        """The id of the model that a caller names."""
        return self.aliases.get(name, name)

    def aliases_of(self, model: str) -> list[str]:
        return [alias for alias, named in self.aliases.items() if named == model]

    def stays_home(self, model: str) -> bool:
        """Whether a request to the model need not leave home."""
        return self.stays.get(model, self.rest_stays)

    def plan(self, name: str) -> PlanTerms:
        """The plan of an account; the default one where the name is empty or no plan's any more."""
        return self.plans.get(name) or self.plans.get(self.default_plan) or NO_PLAN


NO_PLAN = PlanTerms()
NO_TERMS = Terms()


def terms_of(version: int, newest: int, settings: OwnersSettings) -> Terms:
    from sluice.domain.usage.pricing import parse_usd

    priced = {model.id: _prices(model) for model in settings.models}
    aliases = {alias: model.id for model in settings.models for alias in model.aliases}
    plans = {
        plan.name: PlanTerms(
            plan.limits(),
            None if plan.monthly_usd is None else parse_usd(plan.monthly_usd),
            None if plan.storage_mb is None else plan.storage_mb * 1_048_576,
            None if plan.models is None else frozenset(aliases.get(name, name) for name in plan.models),
        )
        for plan in settings.plans
    }
    default = settings.default_plan
    prices = {name: price for name, price in priced.items() if price is not None}
    return Terms(
        version,
        newest,
        prices,
        plans,
        default.name if default else "",
        aliases=aliases,
        stays={model.id: _one_stays(settings, model.upstreams) for model in settings.models if model.upstreams},
        rest_stays=_one_stays(settings, []),
    )


def _one_stays(settings: OwnersSettings, named: Sequence[str]) -> bool:
    """Whether one of the upstreams that a model names (all, if it names none) stays home; also if there is none at all,
    because then the one model server is the operator's."""
    names = {text.partition(":")[0] for text in named}
    leave = [one.leaves_home for one in settings.upstreams if not names or one.name in names]
    return not leave or not all(leave)


def _prices(model: Model) -> Prices | None:
    from sluice.domain.usage.pricing import parse_usd

    given = {f"{what}_micro_usd": getattr(model, f"{what}_usd") for what in PRICES}
    amounts = {name: parse_usd(text) for name, text in given.items() if text is not None}
    return Prices(**amounts, max_seconds=model.max_seconds or 0) if amounts else None
