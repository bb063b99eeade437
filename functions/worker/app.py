"""The queues of runs and of batches: executes them with the exchange that the gateway has (ADR 120, 123).

SQS delivers a message again when its visibility timeout ends, which is 16 minutes, because a Lambda function may take
15. A worker shortens it for the message that it has, and prolongs it while it lives.
"""

import json
import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sluice.domain.batches import BATCH
from sluice.domain.errors import StoreUnavailable
from sluice.http.gateway.execute import execute
from sluice.http.gateway.rows import executing
from sluice.http.lambda_deadline import settled_within
from sluice.http.logging import configure
from sluice.wiring import peers
from sluice.wiring.runs import batch_queue, batches, queue, runs

if TYPE_CHECKING:
    from sluice.ports.runs import RunQueue

HOLD_SECONDS, RENEWAL_SECONDS = 120, 40  # a message of a worker that died is delivered again after so long
AGAIN_SECONDS = 10  # after a call that the store did not answer, and after a run's first fault
SLOWER = 3  # so many times as long after each further fault

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
    messages, receipt = _queue_of(run_id), record.get("receiptHandle")
    try:
        with _held(messages, receipt):
            _execute(account_id, run_id, seconds_left)
    except StoreUnavailable:
        return _come_again(account_id, run_id)
    except Exception as exc:
        log.warning("run not executed, will be delivered again", exc_info=exc, extra={"request_id": run_id})
        if receipt is not None:
            with suppress(StoreUnavailable):
                messages.hold(receipt, AGAIN_SECONDS * SLOWER ** (_times_delivered(record) - 1))
        return False
    return True


def _times_delivered(record: dict[str, Any]) -> int:
    """From 1 to the five times after which the queue gives a message up."""
    told = record.get("attributes", {}).get("ApproximateReceiveCount", "1")
    return min(max(int(told), 1), 5)


def _execute(account_id: str, run_id: str, seconds_left: Callable[[], float]) -> None:
    """Execute a run if it is this process's to execute. Errors: StoreUnavailable."""
    if run_id.startswith(BATCH):
        batches().work(account_id, run_id, executing(seconds_left))
        return
    claimed = runs().claim(account_id, run_id)
    if claimed is None:
        return
    if claimed.run.ask:
        from sluice.http.chats.again import answer_again

        answer_again(claimed, seconds_left)
    else:
        execute(claimed, seconds_left)


def _come_again(account_id: str, run_id: str) -> bool:
    """By a new message, so that a store which is away for long fills no dead letters."""
    try:
        _queue_of(run_id).put(account_id, run_id, AGAIN_SECONDS)
    except StoreUnavailable:
        return False
    return True


def _queue_of(run_id: str) -> "RunQueue":
    return batch_queue() if run_id.startswith(BATCH) else queue()


@contextmanager
def _held(messages: "RunQueue", receipt: str | None) -> Iterator[None]:
    """Hold the message before anything is done and while this process lives. If SQS does not answer, its own timeout
    holds: then the message comes twice at worst, which changes nothing."""
    if receipt is None:
        yield
        return
    ended = threading.Event()

    def hold() -> None:
        with suppress(StoreUnavailable):
            messages.hold(receipt, HOLD_SECONDS)

    def go_on() -> None:
        while not ended.wait(RENEWAL_SECONDS):
            hold()

    hold()
    thread = threading.Thread(target=go_on, name="hold", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # before Lambda freezes the process


def _seconds_left(context: Any) -> Callable[[], float]:
    """Of the invocation. Infinite on one machine."""
    if context is None:
        return lambda: math.inf
    return lambda: settled_within(context.get_remaining_time_in_millis() / 1000)
