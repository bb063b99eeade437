"""Models in S3: what a folder holds, and an address that S3 takes."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.download import DownloadError
from infra.models.bucket import object_of, signed_url
from infra.models.given import entry_of
from infra.models.pulling import PullError


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
        for key in ("one/readme.md", "one/deep/mine.gguf", "two/a.gguf", "two/b.gguf", "none/x.bin"):
            client.put_object(Bucket="models", Key=key, Body=b"GGUF")
        yield client


@pytest.mark.parametrize("folder", ["s3://models/one", "s3://models/one/", "s3://models/one/deep/mine.gguf"])
def test_the_only_model_of_a_folder_is_meant(bucket: Any, folder: str) -> None:
    assert object_of(folder) == "s3://models/one/deep/mine.gguf"
    assert entry_of(folder).name == "mine"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("s3://models/two/", "name one of them: s3://models/two/a.gguf, s3://models/two/b.gguf"),
        ("s3://models/none", "has no .gguf file"),
        ("s3://models/on", "has no .gguf file"),
        ("s3://absent/x", "cannot be read"),
    ],
)
def test_a_folder_without_one_model_is_refused_in_words(bucket: Any, folder: str, words: str) -> None:
    with pytest.raises(PullError, match=words):
        entry_of(folder)


def test_the_address_is_signed_for_one_object(bucket: Any) -> None:
    url = signed_url("s3://models/one/deep/mine.gguf")
    assert url.startswith("https://models.s3") and "/one/deep/mine.gguf?" in url and "X-Amz-Signature=" in url


def test_without_credentials_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(DownloadError, match="credentials"):
        signed_url("s3://models/one/deep/mine.gguf")
