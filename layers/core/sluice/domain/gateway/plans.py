"""The limits of an account by its plan: its own limits first, then the plan's, then those of accounts without a plan.

They are written with the first admission after the settings changed, in its one write.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.settings.terms import Terms


@dataclass(frozen=True)
class PlanChange:
    """What an admission writes into the grant beside what it charges. `own`: None if it stays."""

    version: int
    limits: Limits
    monthly_micro_usd: int | None
    own: Mapping[str, int] | None


def own_limits(grant: Grant, defaults: Limits) -> dict[str, int]:
    """Those of this account alone. Before any settings, nothing said so, but they differ from the defaults."""
    before_settings = {}
    if grant.plan_version is None:
        usual = asdict(defaults)
        before_settings = {name: limit for name, limit in asdict(grant.limits).items() if limit != usual[name]}
    return {**before_settings, **(grant.own or {})}


def plan_change(grant: Grant, terms: Terms, defaults: Limits) -> PlanChange | None:
    """None where the grant has the limits of these settings, or of later ones."""
    if terms.version <= (grant.plan_version or 0):
        return None
    own, plan = own_limits(grant, defaults), terms.plan(grant.plan)
    limits = replace(defaults, **{**plan.limits, **own})
    return PlanChange(terms.version, limits, plan.monthly_micro_usd, own if own != (grant.own or {}) else None)


def in_force(grant: Grant, terms: Terms, defaults: Limits) -> Grant:
    """The grant with the limits of these settings, whether it has them yet or gets them with its next admission."""
    return in_plan(grant, plan_change(grant, terms, defaults))


def in_plan(grant: Grant, change: PlanChange | None) -> Grant:
    """The grant as it is after the change, by which a request is judged."""
    if change is None:
        return grant
    return replace(grant, limits=change.limits, monthly_micro_usd=change.monthly_micro_usd)
