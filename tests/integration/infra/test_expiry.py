"""One machine deletes expired items, which the embedded store does not do by itself."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local import expiry
from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.adapters.aws.models import AccountItem, MailItem, SessionItem, ThrottleItem
from sluice.adapters.aws.tables import definition
from tests.conftest import Store
from tests.integration.accounts.world import forget_everything


@pytest.fixture(autouse=True)
def tables_of_this_test(store: Store) -> Iterator[None]:
    forget_everything()
    yield
    forget_everything()


def items(store: Store, table: str) -> list[dict[str, Any]]:
    return [dynamo.values(item) for item in store.client.scan(TableName=store.prefix + table)["Items"]]


def put(store: Store, table: str, **plain: Any) -> None:
    store.client.put_item(TableName=store.prefix + table, Item=dynamo.item(plain))


@pytest.mark.parametrize("table", [AccountItem, MailItem, SessionItem, ThrottleItem])
def test_expired_items_are_deleted_and_others_stay(store: Store, table: Any) -> None:
    name, (key, *_) = table.Meta.table_name, [k["AttributeName"] for k in definition(table, "")["KeySchema"]]
    now_s = int(time.time())
    for place in range(expiry.PAGE_ITEMS // 100):
        put(store, name, **{key: f"old{place}", "ttl_s": now_s - 60 * place - 1})
    put(store, name, **{key: "living", "ttl_s": now_s + 60})
    put(store, name, **{key: "for ever"})
    assert expiry.handler({}, None) == 5
    assert sorted(item[key] for item in items(store, name)) == ["for ever", "living"]


def test_an_item_that_is_kept_while_the_run_reads_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that is verified at the moment it ends."""
    put(store, "accounts", pk="usr_a", ttl_s=int(time.time()) - 1)
    real = expiry.write

    def verified_first(call: Any) -> Any:
        put(store, "accounts", pk="usr_a")
        return real(call)

    monkeypatch.setattr(expiry, "write", verified_first)
    assert expiry.handler({}, None) == 0
    assert items(store, "accounts") == [{"pk": "usr_a"}]


def test_parts_of_uploads_are_deleted_after_two_hours(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    forget_everything()
    folder = tmp_path / "documents" / "parts" / "usr_a"
    for name, hours in (("upload_old", 2.1), ("upload_new", 1.9)):
        (folder / name).mkdir(parents=True)
        (path := folder / name / "part_x").write_bytes(b"{}")
        os.utime(path, (time.time() - hours * 3600,) * 2)
    expiry.handler({}, None)
    assert [path.name for path in folder.iterdir()] == ["upload_new"]


def test_an_ended_account_leaves_nothing_behind(store: Store) -> None:
    for table, key in (
        ("accounts", {"pk": "usr_a"}),
        ("accounts", {"pk": "email#a"}),
        ("grants", {"account_id": "usr_a"}),
    ):
        put(store, table, **key, ttl_s=int(time.time()) - 1)
    assert expiry.handler({}, None) == 3
    assert items(store, "accounts") == items(store, "grants") == []


def test_copies_of_indexes_go_because_another_machine_may_have_deleted_their_account(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "indexes"
    old, half_done, used = (folder / name for name in ("usr_a/vs_1.e.db", "0a.working", "usr_b/vs_2.e.db"))
    for path in (old, half_done, used):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for path in (old, half_done):
        os.utime(path, (0, 0))
    monkeypatch.setattr(settings, "common", lambda: SimpleNamespace(data_dir=tmp_path, table_prefix=store.prefix))
    expiry.handler({}, None)
    assert [path.name for path in folder.rglob("*")] == ["usr_b", used.name]
