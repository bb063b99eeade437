"""The owner's settings as the gateway uses them: prices and plans by name, with money in integer micro-dollars."""

from __future__ import annotations  # without settings their form is never imported

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice.domain.usage.pricing import Prices

if TYPE_CHECKING:
    from sluice.domain.settings.owners import Model, OwnersSettings, Upstream

NO_MODEL = "none"  # the model's name in the ledger, for requests that no model answers
PRICES = ("prompt", "completion", "cached", "request", "second")


@dataclass(frozen=True)
class PlanTerms:
    """`limits`: those that the plan names. None: no bound, or all models."""

    limits: Mapping[str, int] = field(default_factory=dict)
    monthly_micro_usd: int | None = None
    storage_bytes: int | None = None
    models: frozenset[str] | None = None
    price: str = ""  # for people to read
    stripe_price: str = ""

    def allows(self, model: str) -> bool:
        return self.models is None or model in self.models or model == NO_MODEL


@dataclass(frozen=True)
class UpstreamTerms:
    """A model server, as the owner names it. `models`: its own names of those that it serves; empty for any.

    `key`: where its key is. `sign`: `none` or `sigv4:SERVICE`. `prices`: what it costs the owner; None for what the
    caller pays. `daily_micro_usd`: the most that it may cost a UTC day; None for no bound. `protocol`: of kind
    `http`, `plain` or `v2`."""

    name: str
    kind: str = "engine"
    models: tuple[str, ...] = ()
    url: str = ""
    key: str = ""
    sign: str = "none"
    leaves_home: bool = False
    bytes_a_token: int = 2
    daily_micro_usd: int | None = None
    prices: Prices | None = None
    protocol: str = "plain"


Route = tuple[tuple[str, str], ...]  # (an upstream's name, its own name of the model), in the order of trying
LOCAL = "local"  # the name of the one model server that `SLUICE_INFERENCE_URL` names, where no upstream is set
LOCAL_ALONE = (UpstreamTerms(LOCAL),)


@dataclass(frozen=True)
class Terms:
    """`version` of the settings, 0 without any. `newest`: of those in the store, which may be broken. `prices`: by a
    model's id; none for models without a price. `aliases`: other names → the model's id. `upstreams`: all model
    servers; `routes`: by a model's id, those that answer it; none for models that name none. `max_seconds`: by a
    model's id, its longest answer, of those that name one. `batch_percents`: by a model's id, what a row of a batch
    costs of its prices, of those that name one."""

    version: int = 0
    newest: int = 0
    prices: Mapping[str, Prices] = field(default_factory=dict)
    plans: Mapping[str, PlanTerms] = field(default_factory=dict)
    default_plan: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    upstreams: tuple[UpstreamTerms, ...] = LOCAL_ALONE
    routes: Mapping[str, Route] = field(default_factory=dict)
    max_seconds: Mapping[str, int] = field(default_factory=dict)
    batch_percents: Mapping[str, int] = field(default_factory=dict)

    def id_of(self, name: str) -> str:
        """The id of the model that a caller names."""
        return self.aliases.get(name, name)

    def aliases_of(self, model: str) -> list[str]:
        return [alias for alias, named in self.aliases.items() if named == model]

    def plan(self, name: str) -> PlanTerms:
        """The plan of an account; the default one where the name is empty or no plan's any more."""
        return self.plans.get(name) or self.plans.get(self.default_plan) or NO_PLAN

    def plan_of_price(self, stripe_price: str) -> str | None:
        return next((name for name, plan in self.plans.items() if plan.stripe_price == stripe_price), None)


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
            plan.price or "",
            plan.stripe_price or "",
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
        upstreams=tuple(map(_upstream, settings.upstreams)) or LOCAL_ALONE,
        routes={model.id: tuple(map(_step, model.upstreams)) for model in settings.models if model.upstreams},
        max_seconds={model.id: model.max_seconds for model in settings.models if model.max_seconds},
        batch_percents={m.id: m.batch_percent for m in settings.models if m.batch_percent is not None},
    )


def _step(text: str) -> tuple[str, str]:
    upstream, _, model = text.partition(":")
    return upstream, model


def _upstream(one: Upstream) -> UpstreamTerms:
    from sluice.domain.usage.pricing import parse_usd

    return UpstreamTerms(
        one.name,
        one.kind,
        tuple(one.models),
        one.url or "",
        one.key or "",
        one.sign,
        one.leaves_home,
        one.bytes_per_token,
        None if one.daily_usd is None else parse_usd(one.daily_usd),
        _prices(one),
        one.protocol,
    )


def _prices(priced: Model | Upstream) -> Prices | None:
    from sluice.domain.usage.pricing import parse_usd

    given = {f"{what}_micro_usd": getattr(priced, f"{what}_usd", None) for what in PRICES}
    amounts = {name: parse_usd(text) for name, text in given.items() if text is not None}
    return Prices(**amounts, max_seconds=getattr(priced, "max_seconds", None) or 0) if amounts else None
