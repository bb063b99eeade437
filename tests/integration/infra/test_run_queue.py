"""The queues of runs: a folder on one machine, SQS on AWS; and how long events are kept on one machine."""

import json
import os
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from infra.local.expiry import forget
from infra.local.ingestion import Spool, message
from sluice.adapters.runs.queue import SPOOL, FolderQueue, SqsQueue
from sluice.domain.errors import StoreUnavailable
from sluice.domain.runs import KEPT_SECONDS
from tests.servers import Handler, Server


def test_a_message_is_delivered_when_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    queue, spool = FolderQueue(tmp_path / SPOOL), Spool(tmp_path / SPOOL)
    queue.put("usr_a", "req_later", delay_seconds=30)
    queue.put("usr_a", "req_now")
    first = spool.take()
    assert first is not None and json.loads(message(first)["body"]) == {"account_id": "usr_a", "run_id": "req_now"}
    spool.done(first)
    assert spool.take() is None
    now_ns += 30 * 10**9
    second = spool.take()
    assert second is not None and json.loads(message(second)["body"])["run_id"] == "req_later"


def test_a_clock_that_is_set_back_holds_up_no_message(tmp_path: Path) -> None:
    for name, seconds in (("later", 30), ("set_back", 3600)):
        (tmp_path / f"{time.time_ns() + seconds * 10**9:020d}-usr_a-{name}.json").write_text("{}")
    spool = Spool(tmp_path)
    taken = spool.take()
    assert taken is not None and "set_back" in taken.name
    assert spool.take() is None, "the other is not due yet"


def test_a_full_disk_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / SPOOL).write_text("no folder")
    with pytest.raises(StoreUnavailable):
        FolderQueue(tmp_path / SPOOL).put("usr_a", "req_a")


def test_events_are_forgotten_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / "usr_a" / "req_a" / "0000000000", tmp_path / "usr_b" / "req_b" / "0000000000"
    for path in (old, new):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"event: x\n\n")
    os.utime(old, (time.time() - KEPT_SECONDS - 5,) * 2)
    forget(tmp_path, KEPT_SECONDS)
    assert new.exists() and not (tmp_path / "usr_a").exists()


class Sqs(Handler):
    """Takes messages of one queue, in AWS's JSON protocol."""

    taken: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        asked["operation"] = self.headers["X-Amz-Target"].removeprefix("AmazonSQS.")
        assert self.headers["Content-Type"] == "application/x-amz-json-1.0"
        known = asked["QueueUrl"].endswith("/runs")
        self.taken.append(asked) if known else None
        body = b'{"MessageId": "1"}' if known else b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}'
        self.answer(200 if known else 400, body)


def test_sqs_gets_the_ids_and_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(Sqs) as server:
        variables = {"AWS_ENDPOINT_URL_SQS": server.url, "AWS_REGION": "us-east-1"}
        for name, value in {**variables, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
            monkeypatch.setenv(name, value)
        queues = SqsQueue("https://sqs/1/runs"), SqsQueue("https://sqs/1/none")
        queues[0].put("usr_a", "req_a", delay_seconds=60)
        queues[0].hold("AQEB", 120)
        with pytest.raises(StoreUnavailable):
            queues[1].put("usr_a", "req_a")
        for queue in queues:
            queue._client.close()
    got, held = Sqs.taken
    assert (got["operation"], held["operation"]) == ("SendMessage", "ChangeMessageVisibility")
    assert (held["ReceiptHandle"], held["VisibilityTimeout"]) == ("AQEB", 120)
    assert json.loads(got["MessageBody"]) == {"account_id": "usr_a", "run_id": "req_a"} and got["DelaySeconds"] == 60


def test_the_same_waits_once_until_it_is_taken(tmp_path: Path) -> None:
    queue, spool = FolderQueue(tmp_path / SPOOL), Spool(tmp_path / SPOOL)
    for _ in range(3):
        queue.put("usr_a", "req_a")
    taken = spool.take()
    assert taken is not None and spool.take() is None
    queue.put("usr_a", "req_a")  # what came up since somebody began with it
    spool.done(taken)
    assert spool.take() is not None
