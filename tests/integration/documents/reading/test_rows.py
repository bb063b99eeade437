"""The documents table on a real store: its counts are exact under concurrency."""

import threading
from dataclasses import replace

import pytest

from sluice.domain.documents.document import Attachment, File, VectorStore
from sluice.domain.errors import NotFound, StorageFull
from tests.integration.documents.reading.place import ADA, BOB, Place


def file(number: int, size_bytes: int = 100, account_id: str = ADA) -> File:
    return File(account_id, f"file_{number:026d}", f"{number}.txt", "assistants", size_bytes, "00", 1_000 + number)


def test_of_many_concurrent_uploads_exactly_those_that_fit_are_stored(place: Place) -> None:
    kept: list[int] = []

    def put(number: int) -> None:
        try:
            place.rows.put(file(number), limit_bytes=1_050)
            kept.append(number)
        except StorageFull:
            return

    threads = [threading.Thread(target=put, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 10
    assert place.rows.held_bytes(ADA) == 1_000
    assert len(place.rows.page(ADA, limit=100, after_id=None)) == 10


def test_a_repeated_put_counts_once(place: Place) -> None:
    place.rows.put(file(1), 1_000)
    place.rows.put(file(1), 1_000)
    assert place.rows.held_bytes(ADA) == 100


def test_a_first_file_larger_than_the_limit_is_refused(place: Place) -> None:
    with pytest.raises(StorageFull):
        place.rows.put(file(1, size_bytes=1_001), 1_000)
    assert place.rows.held_bytes(ADA) == 0


def test_of_many_concurrent_deletions_one_counts(place: Place) -> None:
    place.rows.put(file(1), 1_000)
    gone: list[bool] = []
    threads = [threading.Thread(target=lambda: gone.append(place.rows.delete(ADA, file(1).file_id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gone.count(True) == 1 and place.rows.held_bytes(ADA) == 0


def test_pages_continue_in_both_directions(place: Place) -> None:
    for number in range(7):
        place.rows.put(file(number), 10_000)
    place.rows.put(file(99, account_id=BOB), 10_000)
    for newest_first in (True, False):
        seen: list[str] = []
        while page := place.rows.page(ADA, limit=3, after_id=seen[-1] if seen else None, newest_first=newest_first):
            seen += [one.file_id for one in page]
        assert seen == sorted((file(number).file_id for number in range(7)), reverse=newest_first)


def test_the_status_of_a_deleted_file_is_not_stored(place: Place) -> None:
    assert not place.rows.set_status(ADA, "file_x", "processed")
    assert place.rows.get(ADA, "file_x") is None
    place.rows.put(file(1), 1_000)
    assert place.rows.set_status(ADA, file(1).file_id, "error", "why")
    assert place.rows.get(ADA, file(1).file_id) == replace(file(1), status="error", status_detail="why")


def test_attributes_and_metadata_are_read_unchanged(place: Place) -> None:
    store = VectorStore(ADA, "vs_1", "n", 5, 6, {"team": "blue"})
    place.store_rows.put(store)
    place.rows.put(file(1), 1_000)
    attachment = Attachment(ADA, "vs_1", file(1).file_id, 7, attributes={"year": 2026.5, "ok": True, "s": "x"})
    assert place.store_rows.attach(attachment) == attachment
    assert place.store_rows.get(ADA, "vs_1") == store
    assert place.store_rows.attached(ADA, "vs_1", [file(1).file_id, "file_none"]) == {file(1).file_id: attachment}
    assert place.store_rows.stores_with(ADA, file(1).file_id) == ["vs_1"]


def test_a_second_attach_returns_the_existing_attachment(place: Place) -> None:
    place.store_rows.put(VectorStore(ADA, "vs_1", "n", 5, 6))
    place.rows.put(file(1), 1_000)
    place.store_rows.attach(Attachment(ADA, "vs_1", file(1).file_id, 7))
    place.store_rows.set_attachment(ADA, "vs_1", file(1).file_id, "completed", usage_bytes=9)
    again = place.store_rows.attach(Attachment(ADA, "vs_1", file(1).file_id, 8))
    assert (again.status, again.created_ms, again.usage_bytes) == ("completed", 7, 9)


@pytest.mark.parametrize("missing", ["store", "file"])
def test_an_attach_with_a_missing_store_or_file_is_refused(place: Place, missing: str) -> None:
    if missing != "store":
        place.store_rows.put(VectorStore(ADA, "vs_1", "n", 5, 6))
    if missing != "file":
        place.rows.put(file(1), 1_000)
    with pytest.raises(NotFound):
        place.store_rows.attach(Attachment(ADA, "vs_1", file(1).file_id, 7))
    assert place.store_rows.stores_with(ADA, file(1).file_id) == []


def test_a_deleted_store_is_not_listed_and_has_no_files(place: Place) -> None:
    place.store_rows.put(VectorStore(ADA, "vs_1", "n", 5, 6))
    place.rows.put(file(1), 1_000)
    place.store_rows.attach(Attachment(ADA, "vs_1", file(1).file_id, 7))
    assert place.store_rows.delete(ADA, "vs_1") and not place.store_rows.delete(ADA, "vs_1")
    assert place.store_rows.page(ADA, limit=5, after_id=None) == []
    assert list(place.store_rows.attachments(ADA, "vs_1")) == []
    assert place.store_rows.stores_with(ADA, file(1).file_id) == []
    assert place.rows.get(ADA, file(1).file_id) is not None
