"""Blobs and indexes in S3 as moto simulates it, with conditional puts and gets."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from moto import mock_aws

from sluice.adapters.documents import blobs_s3
from sluice.adapters.documents.blobs_s3 import S3Blobs
from sluice.adapters.documents.search import bucket as bucket_module
from sluice.adapters.documents.search import writing
from sluice.adapters.documents.search.bucket import BucketIndexes
from sluice.domain.documents.passages import Chunk
from sluice.domain.errors import SearchUnavailable, StoreUnavailable
from sluice.ports.documents import PassageQuery

BUCKET = "documents"
ACCOUNT = "usr_a"


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        blobs_s3.client.cache_clear()
        blobs_s3.client().create_bucket(Bucket=BUCKET)
        yield BUCKET
        blobs_s3.client().close()
        blobs_s3.client.cache_clear()


def indexes(folder: Path) -> BucketIndexes:
    return BucketIndexes(BUCKET, folder, sleep=lambda _: None)


def chunks(*texts: str) -> list[Chunk]:
    return [Chunk("", text) for text in texts]


def test_blobs_are_put_got_listed_and_deleted() -> None:
    blobs = S3Blobs(BUCKET)
    assert blobs.get("files/usr_a/file_1") is None
    blobs.put("files/usr_a/file_1", b"one")
    blobs.put("files/usr_b/file_2", b"two")
    assert blobs.get("files/usr_a/file_1") == b"one"
    assert list(blobs.keys("files/usr_a/")) == ["files/usr_a/file_1"]
    blobs.delete("files/usr_a/file_1")
    blobs.delete("files/usr_a/file_1")
    assert list(blobs.keys("files/usr_a/")) == []


def test_a_missing_bucket_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        S3Blobs("another").put("files/usr_a/file_1", b"one")
    with pytest.raises(StoreUnavailable):
        list(S3Blobs("another").keys("files/usr_a/"))
    with pytest.raises(StoreUnavailable):
        S3Blobs("another").get("files/usr_a/file_1")


def test_one_environment_finds_at_once_what_another_wrote(tmp_path: Path) -> None:
    writer, reader = indexes(tmp_path / "w"), indexes(tmp_path / "r")
    assert reader.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5)) == []
    assert reader.files(ACCOUNT, "vs_1") == set()
    writer.replace(ACCOUNT, "vs_1", "file_1", "a.txt", chunks("a beacon"))
    assert reader.files(ACCOUNT, "vs_1") == {"file_1"}
    assert [hit.file_id for hit in reader.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))] == ["file_1"]
    writer.replace(ACCOUNT, "vs_1", "file_2", "b.txt", chunks("another beacon", "a third beacon"))
    assert len(reader.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))) == 3
    writer.remove(ACCOUNT, "vs_1", "file_1")
    assert {hit.file_id for hit in reader.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))} == {"file_2"}
    writer.drop(ACCOUNT, "vs_1")
    assert reader.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5)) == []
    assert list((tmp_path / "r").rglob("*.db")) == []


def test_an_unchanged_index_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = indexes(tmp_path)
    place.replace(ACCOUNT, "vs_1", "file_1", "a.txt", chunks("a beacon"))
    place.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))
    (kept,) = tmp_path.rglob("*.db")
    before = kept.stat().st_ino
    place.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))
    assert [path.stat().st_ino for path in tmp_path.rglob("*.db")] == [before]


def test_a_writer_downloads_an_index_only_when_another_has_changed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []
    get = BucketIndexes._get

    def counted(self: BucketIndexes, key: str, known: str | None) -> tuple[bytes, str] | None:
        found = get(self, key, known)
        moved.append(len(found[0]) if found else 0)
        return found

    monkeypatch.setattr(BucketIndexes, "_get", counted)
    place, other = indexes(tmp_path / "p"), indexes(tmp_path / "o")
    for number in range(3):
        place.replace(ACCOUNT, "vs_1", f"file_{number}", "a.txt", chunks("a beacon"))
    place.remove(ACCOUNT, "vs_1", "file_0")
    assert moved == [0, 0, 0, 0]
    other.replace(ACCOUNT, "vs_1", "file_3", "a.txt", chunks("a beacon"))
    place.replace(ACCOUNT, "vs_1", "file_4", "a.txt", chunks("a beacon"))
    assert moved[4] and moved[5]
    assert place.files(ACCOUNT, "vs_1") == other.files(ACCOUNT, "vs_1") == {f"file_{number}" for number in range(1, 5)}


def test_a_writer_keeps_nothing_of_a_change_that_was_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = indexes(tmp_path)
    place.replace(ACCOUNT, "vs_1", "file_1", "a.txt", chunks("a beacon"))

    def lost(*_: object) -> str:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(BucketIndexes, "_put", lost)
        with pytest.raises(StoreUnavailable):
            place.replace(ACCOUNT, "vs_1", "file_2", "b.txt", chunks("a light"))
    assert [*tmp_path.rglob("*.working*")] == [*tmp_path.rglob("*.db")] == []
    assert place.files(ACCOUNT, "vs_1") == {"file_1"}


def _one_call_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's conditional writes are atomic, but moto's are not, so calls take turns; between calls threads still race."""
    turn = threading.Lock()
    for name in ("_put", "_get"):
        call = getattr(BucketIndexes, name)

        def in_turn(*arguments: object, call: Any = call) -> object:
            with turn:
                return call(*arguments)

        monkeypatch.setattr(BucketIndexes, name, in_turn)


def test_concurrent_writers_lose_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _one_call_at_a_time(monkeypatch)
    places = [indexes(tmp_path / str(number)) for number in range(4)]
    threads = [
        threading.Thread(target=place.replace, args=(ACCOUNT, "vs_1", f"file_{number}", "a.txt", chunks("a beacon")))
        for number, place in enumerate(places)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = indexes(tmp_path / "r").find(ACCOUNT, "vs_1", PassageQuery("beacon", 50))
    assert sorted(hit.file_id for hit in found) == [f"file_{number}" for number in range(4)]


def test_a_writer_that_always_loses_the_race_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, slow = indexes(tmp_path / "o"), indexes(tmp_path / "s")
    other.replace(ACCOUNT, "vs_1", "file_0", "a.txt", chunks("a beacon"))
    put, lost = slow._put, iter(range(100))

    def overtaken(*arguments: Any) -> str:
        other.replace(ACCOUNT, "vs_1", "file_0", "a.txt", chunks(f"a beacon {next(lost)}"))
        return put(*arguments)

    monkeypatch.setattr(slow, "_put", overtaken)
    with pytest.raises(SearchUnavailable):
        slow.replace(ACCOUNT, "vs_1", "file_1", "b.txt", chunks("mine"))
    assert [*(tmp_path / "s").glob("*.working*")] == []


def test_the_least_recently_used_copies_are_deleted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, place = indexes(tmp_path / "w"), indexes(tmp_path / "r")
    writer.replace(ACCOUNT, "vs_0", "file_1", "a.txt", chunks("a beacon"))
    (one,) = (tmp_path / "w").rglob("*.db")
    monkeypatch.setattr(bucket_module, "MOST_KEPT_BYTES", 2 * one.stat().st_size + 1)
    for number in range(1, 4):
        writer.replace(ACCOUNT, f"vs_{number}", "file_1", "a.txt", chunks("a beacon"))
    for number in range(4):
        assert place.find(ACCOUNT, f"vs_{number}", PassageQuery("beacon", 5))
    for folder in ("w", "r"):
        assert sorted(path.name[:4] for path in (tmp_path / folder).rglob("*.db")) == ["vs_2", "vs_3"]


def test_what_a_killed_process_has_left_is_deleted_after_an_hour(tmp_path: Path) -> None:
    left, at_work = tmp_path / "left.working", tmp_path / "now.working"
    for path in (left, at_work):
        path.write_bytes(b"x")
    os.utime(left, (0, 0))
    indexes(tmp_path).replace(ACCOUNT, "vs_1", "file_1", "a.txt", chunks("a beacon"))
    assert [*tmp_path.glob("*.working*")] == [at_work]


def test_a_damaged_index_is_unavailable(tmp_path: Path) -> None:
    S3Blobs(BUCKET).put("index/usr_a/vs_1.db", b"SQLite format 3\x00" + b"garbage" * 1000)
    with pytest.raises(SearchUnavailable):
        indexes(tmp_path).find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))


def test_a_change_that_fails_half_way_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = indexes(tmp_path)
    place.replace(ACCOUNT, "vs_1", "file_1", "a.txt", chunks("a beacon"))
    monkeypatch.setattr(writing, "indexed", lambda text: [text[100]])
    with pytest.raises(IndexError):
        place.replace(ACCOUNT, "vs_1", "file_1", "a.txt", chunks("nothing"))
    monkeypatch.undo()
    assert [hit.text for hit in place.find(ACCOUNT, "vs_1", PassageQuery("beacon", 5))] == ["a beacon"]


def test_a_large_blob_is_put_from_a_draft_read_in_pieces_and_linked_to() -> None:
    blobs, key = S3Blobs(BUCKET), "files/usr_a/file_1"
    assert blobs.open(key) is None
    with blobs.draft() as draft:
        draft.write(b"one two")
        blobs.put_file(key, draft)
    body = blobs.open(key)
    assert body is not None and (body.read(3), body.read(), body.read()) == (b"one", b" two", b"")
    body.close()
    link = blobs.link(key, "rows é.jsonl")
    assert link is not None
    address = urlsplit(link)
    asked = parse_qs(address.query)
    assert address.path.endswith(key) and ("X-Amz-Signature" in asked or "Signature" in asked)
    assert asked["response-content-disposition"] == ["attachment; filename*=UTF-8''rows%20%C3%A9.jsonl"]


def test_readers_and_writers_of_one_machine_share_its_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the pauses: of two that write in turn without them one would lose each time."""
    _one_call_at_a_time(monkeypatch)
    place = BucketIndexes(BUCKET, tmp_path)
    place.replace(ACCOUNT, "vs_1", "file_first", "a.txt", chunks("a beacon"))
    faults: list[Exception] = []

    def repeat(work: Any) -> None:
        try:
            for number in range(12):
                work(number)
        except Exception as exc:
            faults.append(exc)

    def write(thread: int) -> Any:
        name = f"file_{thread}"
        return lambda number: place.replace(ACCOUNT, "vs_1", f"{name}_{number}", "a.txt", chunks("a beacon"))

    def read(_: int) -> None:
        assert "file_first" in place.files(ACCOUNT, "vs_1")

    works = [write(0), write(1), read, read, read]
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    written = {f"file_{thread}_{number}" for thread in range(2) for number in range(12)}
    assert indexes(tmp_path / "other").files(ACCOUNT, "vs_1") == {"file_first"} | written
