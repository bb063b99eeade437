"""Blobs of machines that share a bucket: in the bucket for all, their events in the spool of the one that put."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.adapters.documents import blobs_s3
from sluice.adapters.documents.blobs_folder import SPOOL
from sluice.adapters.documents.blobs_s3 import AnnouncedBlobs
from sluice.domain.errors import StoreUnavailable
from tests.fakes.s3_server import s3_server


@pytest.fixture(autouse=True)
def _bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    with s3_server() as url:
        for name, value in (keys | {"AWS_ENDPOINT_URL_S3": url}).items():
            monkeypatch.setenv(name, value)
        blobs_s3.client.cache_clear()
        yield
        blobs_s3.client().close()
        blobs_s3.client.cache_clear()


def events(data_dir: Path) -> list[str]:
    found = [json.loads(path.read_text()) for path in sorted((data_dir / SPOOL).glob("*.json"))]
    return [event["Records"][0]["s3"]["object"]["key"] for event in found]


def test_what_one_machine_put_the_other_reads_and_only_the_first_has_the_event(tmp_path: Path) -> None:
    one, other = (AnnouncedBlobs("documents", tmp_path / name) for name in ("one", "other"))
    one.put("files/usr_a/file_1", b"text")
    assert other.get("files/usr_a/file_1") == b"text" and list(other.keys("files/usr_a/")) == ["files/usr_a/file_1"]
    assert (events(tmp_path / "one"), events(tmp_path / "other")) == (["files/usr_a/file_1"], [])
    other.delete("files/usr_a/file_1")
    assert one.get("files/usr_a/file_1") is None


def test_what_has_no_events_has_none(tmp_path: Path) -> None:
    AnnouncedBlobs("documents", tmp_path).put("text/usr_a/file_1", b"text")
    assert events(tmp_path) == []


def test_a_spool_that_cannot_be_written_is_said_because_the_caller_must_repeat_it(tmp_path: Path) -> None:
    (tmp_path / SPOOL).write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable):
        AnnouncedBlobs("documents", tmp_path).put("files/usr_a/file_1", b"text")


def test_a_server_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    blobs_s3.client().close()
    blobs_s3.client.cache_clear()
    with pytest.raises(StoreUnavailable):
        AnnouncedBlobs("documents", tmp_path).get("files/usr_a/file_1")
