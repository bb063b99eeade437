"""Machines on one store have the same keys, or do not start."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local import same_keys
from infra.local.errors import LaunchError
from sluice.adapters.tokens.keys import MAILED_CODE_FILE, ensure_keys
from tests.conftest import Store

Machine = Callable[[str], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """`machine(name)` → its data directory, with new keys."""

    def make(name: str) -> Path:
        ensure_keys(tmp_path / name)
        return tmp_path / name

    return make


def accepted(store: Store, folder: Path) -> bool:
    try:
        same_keys.check(store.client, store.prefix, folder)
    except LaunchError as exc:
        assert str(folder / "keys") in str(exc)
        return False
    return True


def test_the_first_machines_keys_and_their_copies_are_accepted_and_no_others(store: Store, machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    assert accepted(store, one) and accepted(store, one)
    assert not accepted(store, other)
    shutil.rmtree(other / "keys")
    shutil.copytree(one / "keys", other / "keys")
    assert accepted(store, other)


def test_one_of_the_two_keys_is_not_enough(store: Store, machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    assert accepted(store, one)
    kept = (other / "keys" / MAILED_CODE_FILE).read_bytes()
    shutil.copytree(one / "keys", other / "keys", dirs_exist_ok=True)
    (other / "keys" / MAILED_CODE_FILE).write_bytes(kept)
    assert not accepted(store, other)


def test_of_machines_that_start_at_once_one_decides(store: Store, machine: Machine) -> None:
    folders = [machine(str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda folder: accepted(store, folder), folders)) == 1


def test_the_store_does_not_hold_the_keys(store: Store, machine: Machine) -> None:
    one = machine("one")
    assert accepted(store, one)
    item = store.client.get_item(TableName=store.prefix + "accounts", Key={"pk": {"S": "keys"}})["Item"]
    assert set(item) == {"pk", "schema", "fingerprint"} and len(item["fingerprint"]["S"]) == 64
