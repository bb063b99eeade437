"""Backups in a bucket: read back from there, kept, restored from there."""

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.backup import age, archive
from infra.backup.errors import BackupRefused
from infra.backup.places import Bucket, Folder, opened, place
from infra.migrations.steps import CURRENT

NAME = "sluice-backup-20261130T094455Z.tar.gz.age"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ):
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="mine-at-s3")
        yield client


def keys(bucket: Any) -> set[str]:
    return {item["Key"] for item in bucket.list_objects_v2(Bucket="mine-at-s3").get("Contents", [])}


@pytest.mark.parametrize(("text", "folder"), [("s3://mine-at-s3/a/b/", "a/b/"), ("s3://mine-at-s3", "")])
def test_a_backup_is_read_from_where_it_lies_before_it_counts(
    bucket: Any, tmp_path: Path, text: str, folder: str
) -> None:
    there = place(text, tmp_path / "data")
    draft = there.draft(NAME, tmp_path)
    draft.write_bytes(b"content")
    seen: list[bytes] = []
    there.put(draft, NAME, lambda file: seen.append(file.read()))
    assert seen == [b"content"] and keys(bucket) == {folder + NAME} and there.where(NAME).endswith(f"/{folder}{NAME}")

    def damaged(_: object) -> None:
        raise BackupRefused("damaged")

    with pytest.raises(BackupRefused, match="damaged"):
        there.put(draft, NAME.replace("2026", "2027"), damaged)
    assert keys(bucket) == {folder + NAME}


def test_only_backups_directly_there_are_listed_and_deleted(bucket: Any, tmp_path: Path) -> None:
    older = NAME.replace("2026", "2025")
    for key in (NAME, older, "x" + NAME, f"deep/{NAME}", "notes"):
        bucket.put_object(Bucket="mine-at-s3", Key=f"a/{key}", Body=b"")
    there = place("s3://mine-at-s3/a", tmp_path)
    assert there.names() == [older, NAME]
    there.delete(older)
    assert keys(bucket) == {f"a/{key}" for key in (NAME, "x" + NAME, f"deep/{NAME}", "notes")}


def test_a_whole_backup_is_read_from_the_bucket(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age, "WORK", 2)
    (tmp_path / "store.db").write_bytes(random.Random(0).randbytes(300_000))
    file = io.BytesIO()
    with archive.written(file, "a passphrase") as made:
        made.add("store.db", tmp_path / "store.db")
        made.end(manifest := archive.Manifest(CURRENT, "sluice-", 0, {}, {}, made.files))
    bucket.put_object(Bucket="mine-at-s3", Key=NAME, Body=file.getvalue())
    with opened(f"s3://mine-at-s3/{NAME}") as body:
        assert archive.read(body, lambda: "a passphrase", lambda name: None) == manifest


def test_an_absent_bucket_and_an_absent_backup_are_refused_in_words(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="s3://absent/ cannot be used"):
        place("s3://absent", tmp_path).names()
    with pytest.raises(BackupRefused, match=NAME), opened(f"s3://mine-at-s3/{NAME}"):
        pass
    (tmp_path / "draft").write_bytes(b"x")
    with pytest.raises(BackupRefused, match="cannot be used"):
        Bucket("absent", "").put(tmp_path / "draft", NAME, lambda file: None)


def test_a_folder_never_replaces_a_backup(tmp_path: Path) -> None:
    there = Folder(tmp_path)
    (tmp_path / NAME).write_text("mine")
    draft = there.draft(NAME, tmp_path)
    draft.write_text("other")
    with pytest.raises(BackupRefused, match="there already"):
        there.put(draft, NAME, lambda file: None)
    assert (tmp_path / NAME).read_text() == "mine"
