"""Blobs in an S3 bucket. Their events are the bucket's own notifications."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sluice.domain.errors import StoreUnavailable

CONNECT_SECONDS = 2
READ_SECONDS = 20


@cache
def client() -> Any:
    from botocore.config import Config
    from botocore.session import get_session

    patience = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 3})
    return get_session().create_client("s3", config=patience)


@contextmanager
def s3_errors() -> Iterator[None]:
    """Translate botocore's errors to StoreUnavailable, except those that the caller handles first."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (ClientError, BotoCoreError) as exc:
        raise StoreUnavailable() from exc


def is_no_key(exc: Any) -> bool:
    """Whether the key is missing. S3 says so only because our role may list the bucket; other roles get 403."""
    return bool(exc.response["Error"]["Code"] == "NoSuchKey")


def status_of(exc: Any) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


class S3Blobs:
    """`sluice.ports.documents.Blobs`. Errors: StoreUnavailable."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def put(self, key: str, body: bytes, *, media_type: str = "application/octet-stream") -> None:
        with s3_errors():
            client().put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=media_type)

    def get(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        with s3_errors():
            try:
                body: bytes = client().get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as exc:
                if is_no_key(exc):
                    return None
                raise
        return body

    def delete(self, key: str) -> None:
        with s3_errors():
            client().delete_object(Bucket=self._bucket, Key=key)

    def keys(self, prefix: str) -> Iterator[str]:
        pages = iter(client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix))
        while True:
            with s3_errors():
                page = next(pages, None)
            if page is None:
                return
            yield from (one["Key"] for one in page.get("Contents", ()))
