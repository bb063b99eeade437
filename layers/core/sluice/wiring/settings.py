"""The owner's settings: the use cases, each bound to its store once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.domain.languages import LANGUAGES
from sluice.once import once
from sluice.services.settings.in_force import SettingsInForce
from sluice.wiring import stores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.domain.gateway.admission import Limits
    from sluice.domain.settings.owners import Payment, SignIn
    from sluice.domain.settings.terms import Terms
    from sluice.domain.usage.pricing import Prices
    from sluice.services.any_origin import AnyOrigin
    from sluice.services.settings.change import OwnersTerms
    from sluice.settings import NewAccounts


@once
def settings_in_force() -> SettingsInForce:
    return SettingsInForce(stores.settings_store(), time.monotonic)


@once
def any_origin() -> AnyOrigin:
    """Shared by what issues publishable API tokens and what answers pages of other origins."""
    from sluice.services.any_origin import AnyOrigin

    return AnyOrigin(stores.published_tokens(), time.monotonic)


class Site(NamedTuple):
    """What the owner says of the site, where there are no settings."""

    name: str = "Sluice"
    contact: str = ""
    sign_up: str = "open"
    sign_up_domains: tuple[str, ...] = ()
    languages: tuple[str, ...] = tuple(LANGUAGES)
    terms_url: str | None = None
    terms_version: str = ""


def site() -> Any:
    """→ its `name`, `contact`, `languages`, `sign_up`, `sign_up_domains`, `terms_url` and `terms_version`."""
    found = settings_in_force().current().settings
    return found.site if found else Site()


def webhooks_may_be_private() -> bool:
    """Whether the owner lets webhooks lead into the house."""
    found = settings_in_force().current().settings
    return found is not None and found.webhooks.allow_private


def sign_in_providers() -> Sequence[SignIn]:
    """Their secrets are not in it."""
    found = settings_in_force().current().settings
    return found.sign_in if found else ()


def payment() -> Payment | None:
    """None: nothing is paid here. The secrets are not in it."""
    found = settings_in_force().current().settings
    return found.payment if found and found.payment.key else None


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
