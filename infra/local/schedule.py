"""The schedule of a local run: calls the sweeper's handler every minute, as EventBridge does on AWS.

Every hour it deletes expired items."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from infra.local.handlers import Handler, load
from sluice.domain.errors import Unavailable
from sluice.http.logging import configure

log = logging.getLogger("sluice.schedule")
SWEEPER = "functions.sweeper"
DEFAULT_SECONDS = 60.0
FIRST_SECONDS = 5.0


def interval_seconds(env: Mapping[str, str] = os.environ) -> float:
    return float(env.get("SLUICE_SWEEP_SECONDS") or DEFAULT_SECONDS)


def event(now: datetime) -> dict[str, Any]:
    """EventBridge's scheduled event, with the fields that handlers read."""
    return {
        "version": "0",
        "source": "aws.events",
        "detail-type": "Scheduled Event",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "detail": {},
    }


def run(handler: Handler, interval: float, stopping: Callable[[float], bool]) -> None:
    """Send the scheduled event at once and every `interval` seconds. `stopping(seconds)` waits; True ends it."""
    while True:
        began = time.monotonic()
        try:
            handler(event(datetime.now(UTC)), None)
        except Unavailable as exc:  # such as a new store whose tables are just being made
            log.warning("not done: %s The scheduled event is sent again in %g s", exc, interval)
        except Exception:
            log.exception("the scheduled event failed; it is sent again in %g s", interval)
        if stopping(max(0.0, interval - (time.monotonic() - began))):
            return


def main() -> None:
    configure()
    wake = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0) if wake.is_set() else wake.set())
    # A few seconds later, because the other processes need the CPU during the start.
    if not wake.wait(min(FIRST_SECONDS, interval_seconds())):
        sweeper = load(SWEEPER)
        from infra.local import expiry  # it imports the AWS SDK

        threading.Thread(target=run, args=(expiry.handler, expiry.EVERY_SECONDS, wake.wait), daemon=True).start()
        run(sweeper, interval_seconds(), wake.wait)


if __name__ == "__main__":
    main()
