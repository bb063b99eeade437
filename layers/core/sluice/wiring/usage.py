"""Usage: the use cases, each bound to its stores once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

import time
from typing import TYPE_CHECKING

from sluice import settings
from sluice.once import once
from sluice.wiring import stores

if TYPE_CHECKING:
    from sluice.services.usage.everyone import EveryonesSums
    from sluice.services.usage.logs import UsageLog
    from sluice.services.usage.meter import Metering
    from sluice.services.usage.reconcile import Reconciliation
    from sluice.services.usage.refusals import Refusals
    from sluice.services.usage.sums import UsageSums


@once
def usage_sums() -> UsageSums:
    from sluice.services.usage.sums import UsageSums

    return UsageSums(stores.ledger_reader(), stores.rollup_store())


@once
def usage_log() -> UsageLog:
    from sluice.services.usage.logs import UsageLog

    return UsageLog(stores.ledger_reader(), stores.content_store())


@once
def refusals() -> Refusals:
    from sluice.services.usage.refusals import Refusals

    return Refusals(
        stores.refusal_store(),
        stores.hot_store(),
        lambda: time.time_ns() // 1_000_000,
        in_background=settings.common().local,
    )


@once
def everyones_sums() -> EveryonesSums:
    from sluice.services.usage.everyone import EveryonesSums

    return EveryonesSums(stores.rollup_store(), stores.account_store(), stores.ledger_reader())


@once
def metering() -> Metering:
    from sluice.services.usage.meter import Metering
    from sluice.wiring.mails import quota_mails

    return Metering(stores.ledger_reader(), stores.rollup_store(), stores.token_uses(), quota_mails())


@once
def reconciliation() -> Reconciliation:
    from sluice.services.usage.reconcile import Reconciliation

    return Reconciliation(stores.ledger_reader(), stores.rollup_store(), stores.hot_store(), stores.accountant())
