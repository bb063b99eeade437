"""The owner's settings: the use cases, each bound to its store once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

import time

from sluice.once import once
from sluice.services.settings import OwnersTerms, SettingsInForce
from sluice.wiring import stores


@once
def settings_in_force() -> SettingsInForce:
    return SettingsInForce(stores.settings_store(), time.monotonic)


@once
def owners_terms() -> OwnersTerms:
    return OwnersTerms(stores.settings_store(), settings_in_force())
