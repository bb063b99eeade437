"""`stopped(schema)`: a data directory with the store of an earlier version, as a stopped run leaves it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.backup.store_copy import StoreCopy
from infra.upgrading import Upgrade
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store
from tests.store_process import running_store

PREFIX = "sluice-"
Items = dict[str, list[str]]


def items(database: Path) -> Items:
    """Every item of every table, as text."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM _tables")]
        return {
            name: sorted(text for (text,) in connection.execute(f'SELECT item_json FROM "{name}"')) for name in tables
        }


@dataclass
class Stopped:
    data: Path
    before: Items

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self.upgrade = Upgrade(self.data, PREFIX, self.said.append)

    @property
    def store(self) -> StoreCopy:
        return self.upgrade.store

    def leave_position(self) -> Path:
        path = self.data / "relay" / "sluice-mails.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        return path


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Stopped]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "SLUICE_TABLE_PREFIX"):
        monkeypatch.delenv(name, raising=False)

    def make(schema: int) -> Stopped:
        data = tmp_path / f"data-{schema}"
        data.mkdir(mode=0o700)
        (data / "run").mkdir()
        with running_store(data / "store.db") as (url, _pid):
            client: Any = slow_client(url)
            old_store.build(client, PREFIX, schema)
            client.close()
        return Stopped(data, items(data / "store.db"))

    return make
