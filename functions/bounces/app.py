"""SES's notices, by SNS: addresses that mails came back from, or whose owners called one spam, get no more."""

import logging
import time
from typing import Any

from sluice.adapters.mails.ses_notices import undeliverable
from sluice.http.logging import configure
from sluice.wiring.mails import suppressions

log = logging.getLogger("sluice.bounces")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch from SNS → what was noted. Noting twice changes nothing.

    Errors: StoreUnavailable, at which Lambda tries the whole batch again, twice, and then gives it to a queue.
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
