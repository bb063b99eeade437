"""Concurrent calls, interrupted calls, and an unavailable store."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sluice.domain.documents import keys
from sluice.domain.documents.document import File
from sluice.domain.documents.uploads import FILE, MIB, new_id
from sluice.domain.errors import NotFound, StorageFull, StoreUnavailable
from tests.integration.documents.api.conftest import Library, Reader, ok, refused

NOW_MS = 1_795_000_000_000


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What each call returned or raised."""
    answers: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def run(place: int) -> None:
        gate.wait()
        try:
            answers[place] = call(place)
        except Exception as exc:
            answers[place] = exc

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_uploads_at_once_never_pass_the_storage_limit(reader: Reader) -> None:
    from sluice.wiring import documents, stores

    files, body = documents.files(), b"x" * MIB
    answers = at_once(12, lambda place: files.upload(reader.account_id, f"{place}.bin", "assistants", body, NOW_MS))
    assert Counter(type(answer) for answer in answers) == {File: 6, StorageFull: 6}
    assert stores.file_store().held_bytes(reader.account_id) == 6 * MIB
    assert len(ok(reader.v1("GET", "/files"))["data"]) == 6


def test_a_file_deleted_many_times_at_once_frees_its_bytes_once(reader: Reader) -> None:
    from sluice.wiring import documents, stores

    kept, doomed = reader.file("keep me"), reader.file("delete me")
    answers = at_once(8, lambda place: documents.files().delete(reader.account_id, doomed))
    assert all(answer is None or isinstance(answer, NotFound) for answer in answers)
    assert None in answers
    assert stores.file_store().held_bytes(reader.account_id) == len("keep me")
    assert reader.v1("GET", f"/files/{kept}").status_code == 200


def test_attaching_while_deleting_leaves_nothing_behind(reader: Reader) -> None:
    from sluice.wiring import documents

    for _ in range(10):
        file, store = reader.file(), reader.store_of()
        at_once(
            2,
            lambda place, file=file, store=store: (  # type: ignore[misc]
                documents.files().delete(reader.account_id, file)
                if place
                else documents.vector_stores().attach(reader.account_id, store, file, {}, NOW_MS)
            ),
        )
        assert documents.vector_stores().attachments(reader.account_id, store) == []


def test_first_documents_of_the_page_at_once_make_one_store(reader: Reader) -> None:
    from sluice.wiring import documents

    def keep(place: int) -> File:
        return documents.my_documents().keep(reader.account_id, f"{place}.txt", b"x", NOW_MS)

    assert all(isinstance(answer, File) for answer in at_once(6, keep))
    (store,) = ok(reader.v1("GET", "/vector_stores"))["data"]
    assert (store["name"], store["file_counts"]["total"]) == ("My documents", 6)


def test_a_file_of_an_interrupted_upload_is_listed_and_can_be_deleted(reader: Reader) -> None:
    from sluice.wiring import stores

    identifier = new_id(FILE, NOW_MS)
    half = File(reader.account_id, identifier, "half.txt", "assistants", 4, "0" * 64, NOW_MS)
    stores.file_store().put(half, 6 * MIB)
    assert [file["id"] for file in ok(reader.v1("GET", "/files"))["data"]] == [identifier]
    answer = reader.v1("GET", f"/files/{identifier}/content")
    assert refused(answer) == (404, "not_found") and "broke off" in answer.json["error"]["message"]  # type: ignore[index]
    ok(reader.v1("DELETE", f"/files/{identifier}"))
    assert stores.file_store().held_bytes(reader.account_id) == 0


def test_an_interrupted_deletion_can_be_repeated(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    identifier = reader.file()
    store = reader.store_of(identifier)

    def killed(*_: Any) -> bool:
        raise StoreUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(type(stores.file_store()), "delete", killed)
        assert refused(reader.v1("DELETE", f"/files/{identifier}")) == (503, "unavailable")
    assert ok(reader.v1("GET", f"/vector_stores/{store}"))["file_counts"]["total"] == 0, "it is found no more already"
    ok(reader.v1("DELETE", f"/files/{identifier}"))
    assert list(stores.blobs().keys(f"{keys.FILES}/{reader.account_id}/")) == []


def test_while_the_store_is_unavailable_every_call_is_503_with_retry_after(library: Library) -> None:
    from sluice.wiring import stores

    reader = library.reader()
    file = reader.file()
    store = reader.store_of(file)
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", "/files", None),
        ("GET", f"/files/{file}", None),
        ("GET", f"/files/{file}/content", None),
        ("DELETE", f"/files/{file}", None),
        ("GET", "/vector_stores", None),
        ("POST", "/vector_stores", {"name": "x"}),
        ("POST", f"/vector_stores/{store}", {"name": "x"}),
        ("DELETE", f"/vector_stores/{store}", None),
        ("POST", f"/vector_stores/{store}/search", {"query": "tea"}),
        ("POST", f"/vector_stores/{store}/files", {"file_id": file}),
        ("GET", f"/vector_stores/{store}/files", None),
    ]

    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable()

    with pytest.MonkeyPatch.context() as patch:
        for name in ("grant", "admit"):
            patch.setattr(type(stores.hot_store()), name, away)
        for method, path, body in calls:
            answer = reader.v1(method, path, **({} if body is None else {"json": body}))
            assert refused(answer) == (503, "unavailable"), (method, path)
            assert int(answer.headers["Retry-After"]) >= 1
        assert refused(reader.upload()) == (503, "unavailable")
    assert ok(reader.v1("GET", f"/vector_stores/{store}"))["name"] == "papers"
