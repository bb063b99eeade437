"""A worker holds its message of SQS while it lives, so that it is delivered again soon after it died."""

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from functions.worker import app as worker
from sluice.domain.errors import StoreUnavailable
from sluice.ports.runs import RunQueue
from tests.waiting import eventually

RECORD = {"messageId": "m", "body": '{"account_id": "usr_a", "run_id": "batch_a:0"}', "receiptHandle": "AQEB"}


@dataclass
class Messages:
    """A queue that counts how often a message was held, and may be away."""

    away: bool = False
    held: list[tuple[str, int]] = field(default_factory=list)

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None: ...

    def hold(self, receipt: str, seconds: int) -> None:
        self.held.append((receipt, seconds))
        if self.away:
            raise StoreUnavailable()


@pytest.mark.parametrize("away", [False, True], ids=["", "sqs-away"])
@pytest.mark.parametrize("fault", [None, ValueError("a fault")], ids=["", "fault"])
def test_a_message_is_held_while_it_is_handled_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, away: bool, fault: Exception | None
) -> None:
    messages = Messages(away)
    queue: RunQueue = messages
    monkeypatch.setattr(worker, "batch_queue", lambda: queue)
    monkeypatch.setattr(worker, "RENEWAL_SECONDS", 0.01)

    def execute(*_: Any) -> None:
        assert messages.held, "held before anything is done"
        eventually(lambda: len(messages.held) >= 3)
        if fault:
            raise fault

    monkeypatch.setattr(worker, "_execute", execute)
    before = set(threading.enumerate())
    told = worker.handler({"Records": [RECORD]}, None)
    assert told == {"batchItemFailures": [{"itemIdentifier": "m"}] if fault else []}
    last = messages.held.pop() if fault else None
    assert set(messages.held) == {("AQEB", worker.HOLD_SECONDS)}
    assert set(threading.enumerate()) <= before  # those of other tests may end meanwhile
    assert last == (("AQEB", worker.AGAIN_SECONDS) if fault else None)


@pytest.mark.parametrize(("delivered", "seconds"), [("1", 10), ("2", 30), ("5", 810), ("99", 810)])
def test_after_each_fault_of_a_message_the_pause_is_longer(
    monkeypatch: pytest.MonkeyPatch, delivered: str, seconds: int
) -> None:
    messages = Messages()
    monkeypatch.setattr(worker, "batch_queue", lambda: messages)
    monkeypatch.setattr(worker, "_execute", lambda *_: 1 / 0)
    record = RECORD | {"attributes": {"ApproximateReceiveCount": delivered}}
    assert worker.handler({"Records": [record]}, None)["batchItemFailures"] and messages.held[-1] == ("AQEB", seconds)


def test_a_message_of_one_machine_has_nothing_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = Messages()
    monkeypatch.setattr(worker, "batch_queue", lambda: messages)
    monkeypatch.setattr(worker, "_execute", lambda *_: None)
    record = {name: RECORD[name] for name in ("messageId", "body")}
    assert worker.handler({"Records": [record]}, None) == {"batchItemFailures": []} and messages.held == []
