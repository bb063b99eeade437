"""The relay against the real store: order, restarts of either side, and nothing lost."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from infra.local import relay
from infra.local.relay import TableRelay
from sluice.adapters.aws.json_service import DYNAMODB, STREAMS, JsonService
from tests.conftest import Store, aws_environment
from tests.ports import free_port
from tests.store_process import running_store
from tests.waiting import eventually


class Handler:
    """Remembers the keys of its records; fails while `failing` is set, and counts that."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.failing, self.failed = False, 0

    def __call__(self, event: dict[str, Any], _context: object) -> None:
        if self.failing:
            self.failed += 1
            raise RuntimeError("not now")
        self.events += event["Records"]

    @property
    def keys(self) -> list[str]:
        return [record["dynamodb"]["Keys"]["mail_id"]["S"] for record in self.events]


class Running:
    """One relay in a thread, as in its process."""

    def __init__(self, table: str, handler: Handler, folder: Path) -> None:
        self.stopping = threading.Event()
        self.clients = JsonService(DYNAMODB), JsonService(STREAMS)
        one = TableRelay(table, handler, folder, self.stopping, *self.clients)
        self.thread = threading.Thread(target=one.run, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        for client in self.clients:
            client.close()


def put(client: Any, table: str, *keys: str) -> None:
    for key in keys:
        client.put_item(TableName=table, Item={"mail_id": {"S": key}})


def test_records_arrive_in_order_and_in_lambdas_shape(store: Store, tmp_path: Path) -> None:
    table, handler = f"{store.prefix}mails", Handler()
    put(store.client, table, "before")  # written before the relay started
    running = Running(table, handler, tmp_path)
    put(store.client, table, "a", "b", "c")
    eventually(lambda: len(handler.events) >= 4)
    running.stop()
    assert handler.keys == ["before", "a", "b", "c"]
    record = handler.events[0]
    assert record["eventName"] == "INSERT" and record["eventSource"] == "aws:dynamodb"
    assert record["eventID"] and record["eventSourceARN"]
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], float)
    assert record["dynamodb"]["StreamViewType"] == "KEYS_ONLY" and "NewImage" not in record["dynamodb"]


def test_a_restarted_relay_continues_after_the_last_handled_record(store: Store, tmp_path: Path) -> None:
    table, first, second = f"{store.prefix}mails", Handler(), Handler()
    running = Running(table, first, tmp_path)
    put(store.client, table, "a", "b")
    eventually(lambda: len(first.events) == 2)
    running.stop()
    put(store.client, table, "c")
    running = Running(table, second, tmp_path)
    eventually(lambda: len(second.events) >= 1)
    running.stop()
    assert second.keys == ["c"]


def test_record_whose_handler_fails_is_neither_skipped_nor_lost(store: Store, tmp_path: Path) -> None:
    table, handler = f"{store.prefix}mails", Handler()
    handler.failing = True
    running = Running(table, handler, tmp_path)
    put(store.client, table, "a")
    eventually(lambda: handler.failed)
    running.stop()
    handler.failing = False
    running = Running(table, handler, tmp_path)
    eventually(lambda: handler.keys == ["a"])
    running.stop()


def test_killed_store_is_reconnected_and_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.session import get_session

    from tests.tables import create_missing

    port, handler = free_port(), Handler()
    for name, value in aws_environment(f"http://127.0.0.1:{port}").items():
        monkeypatch.setenv(name, value)
    client: Any = get_session().create_client("dynamodb")
    with running_store(tmp_path / "store.db", port):
        create_missing(client, "t-")
        running = Running("t-mails", handler, tmp_path)
        put(client, "t-mails", "a")
        eventually(lambda: handler.keys == ["a"])
    time.sleep(0.3)
    with running_store(tmp_path / "store.db", port):
        put(client, "t-mails", "b")
        eventually(lambda: len(handler.keys) >= 2)
        running.stop()
    assert handler.keys == ["a", "b"]


def test_two_tables_have_stream_handlers() -> None:
    assert relay.HANDLERS[:2] == (("mails", "functions.mailer"), ("ledger", "functions.metering"))
