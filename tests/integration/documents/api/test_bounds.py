"""An account has at most 1,000 vector stores with 20,000 files in them, exactly; each remembers its newest batches."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks.bounds.filler import _put
from sluice.adapters.aws import dynamo
from sluice.domain.documents.document import MOST_ATTACHMENTS, MOST_VECTOR_STORES
from tests.integration.documents.api.conftest import Reader, ok


def held(reader: Reader, counter: str, amount: int) -> None:
    item = {"account_id": reader.account_id, "item_id": counter, "held": amount, "schema": 1}
    _put(reader.store.prefix + "documents", [dynamo.item(item)])


def counted(reader: Reader, counter: str) -> int:
    table = reader.store.prefix + "documents"
    (item,) = dynamo.query(table, {"account_id": reader.account_id}, begins=counter)
    return int(item["held"])


def codes(answers: Any) -> list[tuple[int, Any]]:
    return sorted((one.status_code, one.json.get("error", {}).get("code")) for one in answers)


def test_of_vector_stores_at_once_exactly_as_many_are_made_as_there_is_room_for(reader: Reader) -> None:
    reader.store_of()  # what a process builds once must not be built by several threads
    held(reader, "stores", MOST_VECTOR_STORES - 2)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: reader.v1("POST", "/vector_stores", json={}), range(4)))
    assert codes(made) == [(200, None)] * 2 + [(409, "conflict")] * 2
    one = ok(reader.v1("GET", "/vector_stores"))["data"][0]["id"]
    ok(reader.v1("DELETE", f"/vector_stores/{one}"))
    assert counted(reader, "stores") == MOST_VECTOR_STORES - 1
    ok(reader.v1("POST", "/vector_stores", json={}))
    assert reader.v1("POST", f"/vector_stores/{one}", json={"name": "x"}).status_code == 404  # it does not come back


def test_of_attachments_at_once_exactly_as_many_are_made_as_there_is_room_for(reader: Reader) -> None:
    store, files = reader.store_of(), [reader.file(name=f"{place}.txt") for place in range(4)]
    held(reader, "attached", MOST_ATTACHMENTS - 2)
    path = f"/vector_stores/{store}/files"
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda file: reader.v1("POST", path, json={"file_id": file}), files))
    assert codes(made) == [(200, None)] * 2 + [(409, "conflict")] * 2
    attached = [one["id"] for one in ok(reader.v1("GET", path))["data"]]
    assert ok(reader.v1("POST", path, json={"file_id": attached[0]}))["id"] == attached[0]  # it is there already
    ok(reader.v1("DELETE", f"/files/{attached[0]}"))
    assert counted(reader, "attached") == MOST_ATTACHMENTS - 1


def test_files_attached_by_an_earlier_version_are_counted(reader: Reader) -> None:
    file, store = reader.file(), reader.store_of()
    ok(reader.v1("POST", f"/vector_stores/{store}/files", json={"file_id": file}))
    for counter in ("attached", "stores"):
        dynamo.delete_all(reader.store.prefix + "documents", [{"account_id": reader.account_id, "item_id": counter}])
    ok(reader.v1("DELETE", f"/vector_stores/{store}/files/{file}"))
    ok(reader.v1("DELETE", f"/vector_stores/{store}"))
    assert (counted(reader, "attached"), counted(reader, "stores")) == (0, 0)


def test_a_vector_store_remembers_its_newest_batches(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.services.documents.vector_stores.MOST_BATCHES", 2)
    store, file = reader.store_of(), reader.file()
    path = f"/vector_stores/{store}/file_batches"
    ids = [ok(reader.v1("POST", path, json={"file_ids": [file]}))["id"] for _ in range(4)]
    left = [one for one in ids if reader.v1("GET", f"{path}/{one}").status_code == 200]
    assert len(left) == 2 and ids[3] in left


def test_expired_vector_stores_make_room(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without files they have no index, by which the sweep would find them."""
    from sluice.wiring.gateway import gateway

    expiry = {"anchor": "last_active_at", "days": 1}
    made = [ok(reader.v1("POST", "/vector_stores", json=more))["id"] for more in ({}, {"expires_after": expiry})]
    held(reader, "stores", MOST_VECTOR_STORES)
    assert reader.v1("POST", "/vector_stores", json={}).status_code == 409
    tomorrow_ms = gateway().now_ms() + 26 * 3_600_000
    monkeypatch.setattr("sluice.http.documents.files.now_ms", lambda: tomorrow_ms)
    new = ok(reader.v1("POST", "/vector_stores", json={}))["id"]
    assert [one["id"] for one in ok(reader.v1("GET", "/vector_stores"))["data"]] == [new, made[0]]
    assert counted(reader, "stores") == MOST_VECTOR_STORES
