"""The queue of runs: executes each, with the exchange that a request of the gateway has (ADR 120)."""

import json
import logging
import math
from collections.abc import Callable
from typing import Any

from sluice.domain.errors import StoreUnavailable
from sluice.http.gateway.execute import execute
from sluice.http.lambda_deadline import settled_within
from sluice.http.logging import configure
from sluice.wiring import peers
from sluice.wiring.runs import queue

AGAIN_SECONDS = 10  # after a call that the store did not answer

log = logging.getLogger("sluice.worker")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A batch of SQS messages, each naming a run → the ones to deliver again."""
    configure()
    failed = [record["messageId"] for record in event["Records"] if not _handled(record, _seconds_left(context))]
    peers.metrics().flush()
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _handled(record: dict[str, Any], seconds_left: Callable[[], float]) -> bool:
    """Whether the message is done. A malformed one counts as done, because it would be malformed again."""
    try:
        named = json.loads(record["body"])
        account_id, run_id = str(named["account_id"]), str(named["run_id"])
    except (LookupError, TypeError, ValueError):
        log.error("malformed message skipped")
        return True
    try:
        execute(account_id, run_id, seconds_left)
    except StoreUnavailable:
        return _come_again(account_id, run_id)
    except Exception as exc:
        log.warning("run not executed, will be delivered again", exc_info=exc, extra={"request_id": run_id})
        return False
    return True


def _come_again(account_id: str, run_id: str) -> bool:
    """By a new message, so that a store which is away for long fills no dead letters."""
    try:
        queue().put(account_id, run_id, AGAIN_SECONDS)
    except StoreUnavailable:
        return False
    return True


def _seconds_left(context: Any) -> Callable[[], float]:
    """Of the invocation. Infinite on one machine."""
    if context is None:
        return lambda: math.inf
    return lambda: settled_within(context.get_remaining_time_in_millis() / 1000)
