import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.inference.errors import ModelFileError
from functions.inference.models.model_file import check_model_file, expected_sha256
from functions.inference.models.s3_model import bring

CONTENT = b"GGUF and weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="models")
        client.put_object(Bucket="models", Key="deep/mine.gguf", Body=CONTENT)
        yield client


def test_an_object_becomes_a_checked_file(bucket: Any, tmp_path: Path) -> None:
    path = bring("s3://models/deep/mine.gguf", SHA256, tmp_path)
    check_model_file(path, sha256=expected_sha256(path, None))
    assert path.read_bytes() == CONTENT
    assert not list(tmp_path.rglob("*.part"))


def test_it_is_downloaded_once(bucket: Any, tmp_path: Path) -> None:
    bring("s3://models/deep/mine.gguf", SHA256, tmp_path)
    bucket.delete_object(Bucket="models", Key="deep/mine.gguf")
    assert bring("s3://models/deep/mine.gguf", SHA256, tmp_path).exists()


def test_a_changed_object_is_refused(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Bucket="models", Key="deep/mine.gguf", Body=b"GGUF but another")
    path = bring("s3://models/deep/mine.gguf", SHA256, tmp_path)
    with pytest.raises(ModelFileError, match="SHA-256"):
        check_model_file(path, sha256=expected_sha256(path, None))


def test_a_missing_object_is_reported(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be downloaded"):
        bring("s3://models/none.gguf", SHA256, tmp_path)


@pytest.mark.parametrize("location", ["s3://models", "s3://models/mine.bin", "s3:///x.gguf"])
def test_a_wrong_location_is_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="form"):
        bring(location, SHA256, tmp_path)


@pytest.mark.parametrize("sha256", [None, "", "abc"])
def test_an_object_without_sha256_is_refused(sha256: str | None, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="SHA256"):
        bring("s3://models/mine.gguf", sha256, tmp_path)
