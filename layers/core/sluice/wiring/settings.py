"""The owner's settings: the use cases, each bound to its store once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.once import once
from sluice.services.settings.in_force import SettingsInForce
from sluice.wiring import stores

if TYPE_CHECKING:
    from sluice.domain.gateway.admission import Limits
    from sluice.domain.settings.terms import Terms
    from sluice.domain.usage.pricing import Prices
    from sluice.services.settings.change import OwnersTerms
    from sluice.settings import NewAccounts


@once
def settings_in_force() -> SettingsInForce:
    return SettingsInForce(stores.settings_store(), time.monotonic)


class Site(NamedTuple):
    """What the owner says of the site, where there are no settings."""

    name: str = "Sluice"
    contact: str = ""
    sign_up: str = "open"
    sign_up_domains: tuple[str, ...] = ()


def site() -> Any:
    """→ its `name`, `contact`, `sign_up` and `sign_up_domains`."""
    found = settings_in_force().current().settings
    return found.site if found else Site()


def default_limits(wanted: NewAccounts) -> Limits:
    """`SLUICE_DEFAULT_*`: for what neither an admin nor a plan sets."""
    from sluice.domain.gateway.admission import Limits

    return Limits(wanted.default_rpm, wanted.default_tpm, wanted.default_concurrency, wanted.default_monthly_tokens)


def terms() -> Terms:
    """The owner's prices and plans in force."""
    return settings_in_force().current().terms


def newest_terms() -> Terms:
    """Read from the store now. Errors: StoreUnavailable."""
    return settings_in_force().read().terms


def price_of(model: str) -> Prices | None:
    return terms().prices.get(model)


@once
def owners_terms() -> OwnersTerms:
    from sluice.services.settings.change import OwnersTerms

    return OwnersTerms(stores.settings_store(), settings_in_force())
