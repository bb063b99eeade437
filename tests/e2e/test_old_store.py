"""`make up` upgrades a data directory of an earlier version, and keeps everything in it."""

from pathlib import Path
from typing import Any

import pytest

from infra.local.store_address import use_running_store
from infra.migrations import record
from infra.migrations.steps import CURRENT
from sluice.adapters.tokens.keys import ensure_keys
from tests.e2e import old
from tests.e2e.conftest import NewSystem
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store
from tests.store_process import running_store

pytestmark = [pytest.mark.slow, pytest.mark.long]
PREFIX = "sluice-"


def leave_old_store(data_dir: Path, schema: int = 1) -> None:
    data_dir.mkdir(mode=0o700, parents=True)
    with running_store(data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        old_store.build(client, PREFIX, schema)
        client.close()


@pytest.mark.parametrize("schema", old_store.SCHEMAS)
def test_an_old_data_directory_is_upgraded_by_the_start_and_the_whole_path_works_on_it(
    new_system: NewSystem, schema: int
) -> None:
    system = new_system()
    leave_old_store(system.data_dir, schema)
    ensure_keys(system.data_dir)
    token = old.api_token((system.data_dir / "keys" / "token-signing.pem").read_bytes(), schema)
    system.start()
    assert f"brought the store from schema {schema} to {CURRENT}" in system.output()
    old.the_whole_path_works(system.base_url, token, schema)

    assert items_without_schema(system.data_dir) == []
    assert (system.data_dir / "store.schema").read_text() == f"{CURRENT}\n"
    system.ctrl_c()
    system.start()
    assert "brought the store" not in system.output()


def items_without_schema(data_dir: Path) -> list[Any]:
    environment = {"SLUICE_DATA_DIR": str(data_dir)}
    use_running_store(environment)
    client = slow_client(environment["AWS_ENDPOINT_URL_DYNAMODB"], environment["SLUICE_STORE_SOCKET"])
    found = old.items_without_schema(client, PREFIX)
    client.close()
    return found


def test_a_newer_store_is_refused_in_one_sentence_and_left_alone(new_system: NewSystem) -> None:
    system = new_system()
    system.data_dir.mkdir(mode=0o700, parents=True)
    with running_store(system.data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        old_store.build(client, PREFIX)
        record.write(client, PREFIX, record.Record(CURRENT + 1))
        before = old_store.dump(client, PREFIX)
        client.close()
    (system.data_dir / "store.schema").write_text(f"{CURRENT + 1}\n")  # as the newer version would leave it
    system.launch()
    assert system.wait_ended() != 0
    assert f"This store was written by a newer Sluice: its schema is {CURRENT + 1}" in system.output()
    with running_store(system.data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        assert old_store.dump(client, PREFIX) == before
        client.close()


def test_a_newer_store_without_its_file_is_refused_by_its_record(new_system: NewSystem) -> None:
    system = new_system()
    system.data_dir.mkdir(mode=0o700, parents=True)
    with running_store(system.data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        old_store.build(client, PREFIX)
        record.write(client, PREFIX, record.Record(CURRENT + 1))
        client.close()
    system.launch()
    assert system.wait_ended() != 0
    assert f"its schema is {CURRENT + 1}, this version knows {CURRENT}" in system.output()
