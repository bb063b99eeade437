"""Blobs in a folder, and the events of their puts."""

import json
import threading
from pathlib import Path

import pytest

from sluice.adapters.documents.blobs_folder import SPOOL, FolderBlobs
from sluice.domain.errors import StoreUnavailable


def events(data_dir: Path) -> list[str]:
    found = [json.loads(path.read_text()) for path in sorted((data_dir / SPOOL).glob("*.json"))]
    return [event["Records"][0]["s3"]["object"]["key"] for event in found]


def test_blobs_are_put_got_listed_and_deleted(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    assert blobs.get("files/usr_a/file_1") is None and list(blobs.keys("files/usr_a/")) == []
    blobs.put("files/usr_a/file_1", b"one")
    blobs.put("files/usr_ab/file_2", b"two")
    blobs.put("files/usr_a/file_1", b"other")
    assert blobs.get("files/usr_a/file_1") == b"other"
    assert list(blobs.keys("files/usr_a/")) == ["files/usr_a/file_1"], "and not usr_ab's"
    blobs.delete("files/usr_a/file_1")
    blobs.delete("files/usr_a/file_1")
    assert list(blobs.keys("files/usr_a/")) == []


def test_only_uploads_and_changes_become_events_and_in_their_order(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    for key in ("files/usr_a/file_1", "texts/usr_a/file_1", "changes/usr_a/vs_1/file_1", "batches/usr_a/vs_1/vsfb_1"):
        blobs.put(key, b"")
    assert events(tmp_path) == ["files/usr_a/file_1", "changes/usr_a/vs_1/file_1"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "files/../../etc/passwd",
        "files//x",
        "/etc/passwd",
        "files/.hidden/x",
        "files/usr_a/a b",
        "files/usr_a/x\x00",
        "files/usr_a/é",
    ],
)
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    blobs = FolderBlobs(tmp_path)
    for call in (blobs.get, blobs.delete, lambda key: blobs.put(key, b"")):
        with pytest.raises(ValueError):
            call(key)
    assert list(tmp_path.rglob("*")) == []


def test_only_the_owner_may_read_a_written_file(tmp_path: Path) -> None:
    FolderBlobs(tmp_path).put("files/usr_a/file_1", b"one")
    assert (tmp_path / "documents" / "files" / "usr_a" / "file_1").stat().st_mode & 0o777 == 0o600


def test_a_disk_error_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "documents").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        FolderBlobs(tmp_path).put("files/usr_a/file_1", b"one")


def test_a_reader_beside_a_writer_sees_a_whole_old_or_new_file(tmp_path: Path) -> None:
    blobs, whole = FolderBlobs(tmp_path), {bytes([n]) * 200_000 for n in range(3)}
    blobs.put("texts/usr_a/file_1", bytes([0]) * 200_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for body in whole:
                blobs.put("texts/usr_a/file_1", body)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {blobs.get("texts/usr_a/file_1") for _ in range(200)} <= whole
    finally:
        stop.set()
        writer.join()
