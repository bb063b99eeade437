"""SES's notices through SNS: addresses that bounced, or whose owners reported spam, get no more mails."""

import logging
import time
from typing import Any

from sluice.adapters.mails.ses_notices import undeliverable
from sluice.http.logging import configure
from sluice.wiring.mails import suppressions
from sluice.wiring.stores import models_client  # noqa: F401  # built during INIT

log = logging.getLogger("sluice.bounces")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch from SNS → the number of notices noted and ignored. Repeating it changes nothing.

    Errors: StoreUnavailable; Lambda then repeats the whole batch twice, and sends it to the dead-letter queue.
    """
    configure()
    noted = ignored = 0
    for address, reason in undeliverable(event):
        if suppressions().add(address, reason, time.time_ns() // 1_000_000):
            noted += 1
        else:
            ignored += 1
    log.info("notices of mails", extra={"noted": noted, "ignored": ignored})
    return {"noted": noted, "ignored": ignored}
