"""From upload to search: events that are repeated, late, concurrent or lost."""

import random
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from infra.local.ingestion import Spool
from sluice.adapters.documents.blobs_folder import SPOOL
from sluice.domain.documents.document import File
from sluice.domain.documents.keys import text_key
from sluice.domain.documents.passages import Block, Chunk
from sluice.domain.documents.retrieval import SearchOptions
from sluice.domain.errors import NotFound, SearchUnavailable, StoreUnavailable
from sluice.ports.documents import PassageQuery
from sluice.services import documents as services
from sluice.services.documents.retrieve import Retrieval
from sluice.services.documents.search import SearchDocuments
from sluice.services.documents.sweep import MOST_TRIES, STUCK_MS
from tests.integration.documents.reading import place as places
from tests.integration.documents.reading.place import ADA, BOB, Place, now_ms

TEXT = b"# Lighthouse\nThe lighthouse keeper trims the lamp at dusk.\n"
DAY_MS = 86_400_000


def test_an_attached_file_is_found_and_a_detached_one_is_not(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    assert place.find(store, "lighthouse keeper") == []
    place.settle()
    attachment = place.attachment(store, file)
    assert attachment is not None and attachment.status == "completed" and attachment.usage_bytes > 0
    assert place.files.get(ADA, file.file_id).status == "processed"
    (found,) = place.find(store, "Who trims the lamp?")
    assert (found.file_id, found.filename, found.position) == (file.file_id, "lighthouse.md", 0)
    assert "trims the lamp at dusk" in found.text and 0 < found.score <= 1
    place.stores.detach(ADA, store, file.file_id)
    assert place.find(store, "lighthouse keeper") == [], "from the row, before the event was handled"
    place.settle()
    assert place.indexes.find(ADA, store, PassageQuery("lighthouse keeper", 5)) == []


def test_a_deleted_file_leaves_no_row_no_bytes_and_no_passage(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    place.settle()
    place.files.delete(ADA, file.file_id)
    place.settle()
    assert place.find(store, "lighthouse") == []
    assert place.indexes.find(ADA, store, PassageQuery("lighthouse", 5)) == []
    assert [key for key in place.blobs.keys(f"files/{ADA}/")] == []
    assert [key for key in place.blobs.keys(f"texts/{ADA}/")] == []
    assert place.rows.held_bytes(ADA) == 0


def test_a_file_deletion_interrupted_after_its_first_write_is_finished_by_the_sweep(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    place.settle()
    place.rows.delete(ADA, file.file_id)
    place.sweeper.sweep(now_ms() + STUCK_MS + 1)
    assert [*place.blobs.keys(f"files/{ADA}/"), *place.blobs.keys(f"texts/{ADA}/")] == []
    assert place.attachment(store, file) is None
    assert place.indexes.find(ADA, store, PassageQuery("lighthouse", 5)) == []
    assert place.waiting.waiting(now_ms() + 10 * STUCK_MS, 100) == []


def test_a_deleted_store_leaves_no_index_and_keeps_the_files(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    place.settle()
    place.stores.delete(ADA, store)
    place.settle()
    assert [*place.blobs.keys(f"index/{ADA}/")] == []
    assert place.files.get(ADA, file.file_id).status == "processed"
    assert place.waiting.waiting(now_ms() + 10 * STUCK_MS, 100) == []


def _die(*_: object) -> list[Block]:
    """Raises an exception that the service may not catch, as if the process had died."""
    raise KeyboardInterrupt


def test_an_interrupted_deletion_of_a_store_is_finished_by_the_sweep(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    place.settle()
    monkeypatch.setattr(place.store_rows, "_take_out", _die)
    with pytest.raises(KeyboardInterrupt):
        place.store_rows.delete(ADA, store)
    monkeypatch.undo()
    assert place.attachment(store, file) is not None
    place.sweeper.sweep(now_ms() + STUCK_MS + 1)
    assert place.attachment(store, file) is None
    assert [*place.blobs.keys(f"index/{ADA}/")] == []


def test_repeated_events_in_any_order_index_each_passage_once(place: Place) -> None:
    store = place.store()
    place.put(store, "lighthouse.md", TEXT)
    events = sorted(place.data_dir.joinpath("documents-events").glob("*.json"))
    bodies = [path.read_text() for path in events] * 3
    random.Random(7).shuffle(bodies)
    for body in bodies:
        place.handle({"Records": [{"body": body}]}, None)
    assert len(place.find(store, "lighthouse")) == 1


def test_eight_concurrent_handlers_of_one_event_index_each_passage_once(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    threads = [threading.Thread(target=place.ingestion.changed, args=(ADA, store, file.file_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(place.indexes.find(ADA, store, PassageQuery("lighthouse", 50))) == 1
    attachment = place.attachment(store, file)
    assert attachment is not None and attachment.status == "completed"


def test_after_random_concurrent_changes_the_index_equals_the_rows(place: Place) -> None:
    store = place.store()
    files = [place.upload(f"f{number}.md", f"lighthouse number{number}".encode()) for number in range(4)]
    place.settle()

    def disturb(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(12):
            file = dice.choice(files)
            with suppress(NotFound):  # it was not in the store
                if dice.random() < 0.5:
                    place.stores.attach(ADA, store, file.file_id, {}, now_ms())
                else:
                    place.stores.detach(ADA, store, file.file_id)
            place.settle()

    threads = [threading.Thread(target=disturb, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A new spool, as after a restart, so that retried events do not wait.
    replace(place, spool=Spool(place.data_dir / SPOOL)).settle()
    there = {one.file_id for one in place.store_rows.attachments(ADA, store)}
    assert {hit.file_id for hit in place.indexes.find(ADA, store, PassageQuery("lighthouse", 50))} == there
    assert {one.status for one in place.store_rows.attachments(ADA, store)} <= {"completed"}


def test_the_sweep_handles_a_lost_event(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    for event in place.data_dir.joinpath("documents-events").glob("*.json"):
        event.unlink()
    assert place.sweeper.sweep(now_ms()).seen == 0, "it has not waited long enough to be lost"
    assert place.sweeper.sweep(now_ms() + STUCK_MS + 1).seen == 2
    attachment = place.attachment(store, file)
    assert attachment is not None and attachment.status == "completed"
    assert place.files.get(ADA, file.file_id).status == "processed"


def at_hour_of(store: str) -> int:
    """When the sweep compares this store's index with its rows."""
    return now_ms() // DAY_MS * DAY_MS + crc32(store.encode()) % 24 * 3_600_000


def test_an_index_that_differs_from_the_rows_is_found_and_repaired(place: Place) -> None:
    store = place.store()
    kept, lost = (place.put(store, f"{name}.md", TEXT) for name in ("kept", "lost"))
    broken = place.put(store, "broken.bin", bytes(range(256)) * 40)
    place.settle()
    chunks = [Chunk("", "a lighthouse that no row knows")]
    for file_id in ("file_unknown", broken.file_id):
        place.indexes.replace(ADA, store, file_id, "x.md", chunks)
    place.indexes.remove(ADA, store, lost.file_id)

    assert place.sweeper.sweep(at_hour_of(store) + DAY_MS // 2).mended == 0, "another hour's"
    assert place.sweeper.sweep(at_hour_of(store)).mended == 3
    assert place.indexes.files(ADA, store) == {kept.file_id, lost.file_id}
    assert {hit.file_id for hit in place.indexes.find(ADA, store, PassageQuery("lighthouse", 50))} == {
        kept.file_id,
        lost.file_id,
    }
    assert place.sweeper.sweep(at_hour_of(store)).mended == 0
    attachment = place.attachment(store, broken)
    assert attachment is not None and attachment.status == "failed"


def test_an_index_whose_store_is_gone_is_dropped(place: Place) -> None:
    store = "vs_" + "0" * 26
    place.indexes.replace(ADA, store, "file_1", "x.md", [Chunk("", "a lighthouse")])
    assert place.sweeper.sweep(at_hour_of(store)).mended == 1
    assert list(place.blobs.root.rglob(f"{store}*")) == []


def test_a_file_that_always_kills_its_process_fails_in_the_end(place: Place) -> None:
    dying = places.make(place.data_dir, place.rows._rows.table.removesuffix("documents"), _die)
    store = dying.store()
    file = dying.put(store, "lighthouse.md", TEXT)
    later = now_ms()
    for _ in range(2 * MOST_TRIES + 4):
        later += STUCK_MS + 1
        try:
            dying.sweeper.sweep(later)
        except KeyboardInterrupt:
            continue
    attachment = dying.attachment(store, file)
    assert attachment is not None and (attachment.status, bool(attachment.error)) == ("failed", True)
    assert dying.files.get(ADA, file.file_id).status == "error"
    assert dying.waiting.waiting(later + STUCK_MS, 100) == []


def test_a_long_outage_fails_no_file(place: Place) -> None:
    def away(*_: object) -> list[Block]:
        raise StoreUnavailable()

    out = places.make(place.data_dir, place.rows._rows.table.removesuffix("documents"), away)
    store = out.store()
    file = out.put(store, "lighthouse.md", TEXT)
    later = now_ms()
    for _ in range(3 * MOST_TRIES):
        later += STUCK_MS + 1
        assert out.sweeper.sweep(later).failed == 2
    place.sweeper.sweep(later + STUCK_MS + 1)
    attachment = place.attachment(store, file)
    assert attachment is not None and attachment.status == "completed"


def test_an_upload_without_bytes_fails_with_a_reason(place: Place) -> None:
    store = place.store()
    file = place.put(store, "lighthouse.md", TEXT)
    place.blobs.delete(f"files/{ADA}/{file.file_id}")
    place.settle()
    attachment = place.attachment(store, file)
    assert attachment is not None and attachment.status == "failed" and "no content" in str(attachment.error)


def test_a_file_is_parsed_once_for_all_its_stores(place: Place) -> None:
    read: list[str] = []

    def reading(file: object, body: bytes) -> list[Block]:
        read.append(body.decode())
        return [Block(0, body.decode())]

    counted = places.make(place.data_dir, place.rows._rows.table.removesuffix("documents"), reading)
    file = counted.upload("lighthouse.md", TEXT)
    stores = [counted.store(), counted.store()]
    for store in stores:
        counted.stores.attach(ADA, store, file.file_id, {}, now_ms())
    counted.settle()
    assert len(read) == 1
    assert all(counted.find(store, "lighthouse") for store in stores)


def test_the_text_in_an_accounts_vector_stores_is_bounded(place: Place) -> None:
    place = replace(place, ingestion=replace(place.ingestion, most_text_bytes=250_000))
    text, stores = b"The lighthouse keeper trims the lamp. " * 2_700, [place.store() for _ in range(3)]
    files = [place.put(store, f"{number}.md", text) for number, store in enumerate(stores)]
    small = place.put(stores[2], "small.md", TEXT)
    place.settle()
    there = [place.attachment(store, file) for store, file in zip(stores, files, strict=True)]
    assert [one and one.status for one in there] == ["completed", "completed", "failed"]
    assert there[2] is not None and "the most they may hold" in str(there[2].error)
    assert (one := place.attachment(stores[2], small)) is not None and one.status == "completed"
    place.ingestion.bring_in_line(ADA, stores[0], files[0].file_id, again=True)
    assert (again := place.attachment(stores[0], files[0])) is not None and again.status == "completed"
    assert place.store_rows.text_bytes(ADA) < 250_000


def test_text_is_kept_compressed_and_that_of_earlier_versions_is_read(place: Place) -> None:
    file = place.upload("lighthouse.md", TEXT * 10_000)
    place.settle()
    key = text_key(ADA, file.file_id)
    kept = place.blobs.get(key)
    assert kept is not None and len(kept) < len(TEXT) * 10_000 / 50
    place.blobs.put(key, b'[{"level":0,"text":"An older lamp."}]')
    store = place.store()
    place.stores.attach(ADA, store, file.file_id, {}, now_ms())
    place.settle()
    assert [found.text for found in place.find(store, "older lamp")] == ["An older lamp."]


def test_two_concurrent_events_of_an_upload_parse_it_once(place: Place) -> None:
    read: list[str] = []

    def reading(file: File, body: bytes) -> list[Block]:
        read.append(file.file_id)
        time.sleep(0.3)
        return [Block(0, body.decode())]

    counted = places.make(place.data_dir, place.rows._rows.table.removesuffix("documents"), reading)
    store = counted.store()
    files = [counted.put(store, f"{number}.md", TEXT) for number in range(2)]
    threads = [threading.Thread(target=counted.settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read) == sorted(file.file_id for file in files)


def test_a_store_of_another_account_cannot_be_searched_or_attached_to(place: Place) -> None:
    ours, theirs = place.store(ADA), place.store(BOB)
    file = place.put(ours, "lighthouse.md", TEXT)
    place.put(theirs, "secret.md", b"The lighthouse password is swordfish.", BOB)
    place.settle()
    assert place.find(theirs, "lighthouse password", account_id=ADA) == []
    with pytest.raises(NotFound):
        place.stores.attach(BOB, theirs, file.file_id, {}, now_ms())


def test_a_request_begins_no_query_and_no_store_after_its_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.store()
    place.put(store, "lighthouse.md", TEXT)
    place.settle()
    search = SearchDocuments(place.store_rows, place.indexes)
    options = SearchOptions((store,), 5)
    assert len(Retrieval(place.store_rows, search).find(ADA, ["lamp", "keeper"], options)) == 1
    for module in (services.search, services.retrieve):
        with monkeypatch.context() as patch:
            patch.setattr(module, "BEGIN_SECONDS", -1.0)
            with pytest.raises(SearchUnavailable):
                Retrieval(place.store_rows, search).find(ADA, ["lamp"], options)


def test_a_cancelled_file_is_never_indexed_not_even_when_it_is_cancelled_meanwhile(place: Place) -> None:
    store = place.store()
    early = place.put(store, "early.txt", b"The early keeper trims the lamp.")
    assert place.store_rows.cancel(ADA, store, early.file_id)
    place.settle()
    assert place.find(store, "keeper lamp", floored=False) == []
    late = place.put(store, "late.txt", b"The late keeper trims the lamp.")
    put = place.indexes.replace

    class Cancelling:
        """Cancels while the passages are written."""

        def __getattr__(self, name: str) -> object:
            return getattr(place.indexes, name)

        def replace(self, *given: Any) -> None:
            put(*given)
            assert place.store_rows.cancel(ADA, store, late.file_id)

    replace(place.ingestion, indexes=Cancelling()).changed(ADA, store, late.file_id)  # type: ignore[arg-type]
    assert place.indexes.files(ADA, store) == set()
    found = place.store_rows.attachment(ADA, store, late.file_id)
    assert found is not None and found.status == "cancelled"
    place.sweeper.sweep(now_ms())
    place.settle()
    assert place.indexes.files(ADA, store) == set() and not place.store_rows.cancel(ADA, store, late.file_id)


def test_a_search_without_a_floor_finds_the_nearest_and_ranks_what_holds_more_first(place: Place) -> None:
    store = place.store()
    place.put(store, "a.txt", b"The keeper trims the lamp of the lighthouse.")
    place.put(store, "b.txt", b"A lighthouse stands on the rock.")
    place.put(store, "c.txt", b"Tea is grown on hills.")
    place.settle()
    query = "Who trims the lamp of the lighthouse with golden scissors on sundays?"
    assert place.find(store, query) == []
    near = place.find(store, query, floored=False)
    assert [one.filename for one in near] == ["a.txt", "b.txt"] and near[0].score > near[1].score > 0
    assert place.find(store, "Zanzibar", floored=False) == []


def test_an_expired_store_is_deleted_with_its_index_and_batches_and_its_files_stay(place: Place) -> None:
    made = place.stores.create(ADA, "store", {}, now_ms(), expires_days=1)
    file = place.upload("a.txt", TEXT)
    place.stores.attach_batch(ADA, made.store_id, [(file.file_id, {})], now_ms())
    place.settle()
    hour = crc32(made.store_id.encode()) % 24

    def sweep(days: int) -> None:
        moment = now_ms() // DAY_MS * DAY_MS + days * DAY_MS + hour * 3_600_000
        place.sweeper.sweep(moment)

    sweep(0)
    assert place.store_rows.get(ADA, made.store_id) is not None
    sweep(2)
    assert place.store_rows.get(ADA, made.store_id) is None and place.indexes.files(ADA, made.store_id) == set()
    assert list(place.blobs.keys(f"batches/{ADA}/")) == [] and place.rows.get(ADA, file.file_id) is not None
    assert list(place.store_rows.attachments(ADA, made.store_id)) == []
