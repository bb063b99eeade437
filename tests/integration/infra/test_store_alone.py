"""`sluice store`: one at a time on a data directory, on disk, with the index, and ended by a signal."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from infra.migrations.connection import connect
from infra.migrations.run import migrate
from sluice.adapters.aws import dynamo
from tests.conftest import aws_environment
from tests.e2e.place import own_environment
from tests.ports import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.slow
SLUICE = str(Path(sys.executable).with_name("sluice"))
ITEM = dynamo.item({"pk": "usr_a", "schema": 1})


@contextmanager
def started(folder: Path, listen: str) -> Iterator["subprocess.Popen[str]"]:
    environment = own_environment() | {"SLUICE_DATA_DIR": str(folder)}
    process = subprocess.Popen(
        [SLUICE, "store", "--listen", listen], env=environment, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def answered(call: Callable[[], Any]) -> Any:
    """What the call returns, None while nothing listens."""
    try:
        return call()
    except (ConnectionClosedError, EndpointConnectionError):
        return None


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    made = f"http://127.0.0.1:{free_port()}"
    for name, value in aws_environment(made).items():
        monkeypatch.setenv(name, value)
    return made


def test_what_was_written_is_there_after_a_kill_and_a_second_one_is_refused(url: str, tmp_path: Path) -> None:
    listen, table = url.removeprefix("http://"), {"TableName": "sluice-accounts"}
    with started(tmp_path, listen) as first, closing(connect(url)) as client:
        eventually(lambda: answered(lambda: migrate(client, "sluice-")))
        client.put_item(**table, Item=ITEM)
        with started(tmp_path, f"127.0.0.1:{free_port()}") as second:
            assert second.wait(60) == 1 and second.stderr is not None
            assert "another `sluice up` runs on" in second.stderr.read()
        eventually(lambda: "sluice_stream_numbers" in indexes(tmp_path / "store.db"))
        first.kill()
    with started(tmp_path, listen) as again, closing(connect(url)) as client:
        assert eventually(lambda: answered(lambda: client.get_item(**table, Key={"pk": ITEM["pk"]})))["Item"] == ITEM
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0


@pytest.mark.parametrize("marker", ["trial", "back"])
def test_a_store_that_an_upgrade_may_still_replace_is_not_shared(url: str, tmp_path: Path, marker: str) -> None:
    """What other machines wrote would be lost at the next `sluice up` that fails to start."""
    (tmp_path / "upgrade").mkdir()
    (tmp_path / "upgrade" / marker).write_text("store-schema-1-20260101T000000Z.db")
    with started(tmp_path, url.removeprefix("http://")) as refused:
        assert refused.wait(60) == 1 and refused.stderr is not None
        assert "an upgrade of" in refused.stderr.read() and not (tmp_path / "store.db").exists()


def indexes(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


def test_an_address_that_is_taken_or_wrong_is_said(url: str, tmp_path: Path) -> None:
    with started(tmp_path, "8000") as wrong:
        assert wrong.wait(60) == 2 and wrong.stderr is not None and "is not HOST:PORT" in wrong.stderr.read()
    listen = url.removeprefix("http://")
    with started(tmp_path / "one", listen), closing(connect(url)) as client:
        eventually(lambda: answered(client.list_tables))
        with started(tmp_path / "other", listen) as late:
            assert late.wait(60) == 1
