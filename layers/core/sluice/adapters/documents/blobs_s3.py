"""Blobs in an S3 bucket. Their events are the bucket's own notifications, or those of the machine that put them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from sluice.adapters.documents.blobs_folder import SPOOL, announce
from sluice.domain.errors import StoreUnavailable

CONNECT_SECONDS = 2
LINK_SECONDS = 60
READ_SECONDS = 20


@cache
def client() -> Any:
    from botocore.config import Config
    from botocore.session import get_session

    patience = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 3})
    if os.environ.get("AWS_ENDPOINT_URL_S3"):  # a server of one's own has one name, not one for each bucket
        patience = patience.merge(Config(s3={"addressing_style": "path"}))
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
        body = self.open(key)
        if body is None:
            return None
        with s3_errors():
            return body.read()

    def draft(self) -> BinaryIO:
        return tempfile.TemporaryFile()

    def put_file(self, key: str, file: BinaryIO) -> None:
        file.seek(0)
        with s3_errors():
            client().put_object(Bucket=self._bucket, Key=key, Body=file, ContentType="application/octet-stream")

    def open(self, key: str) -> BinaryIO | None:
        from botocore.exceptions import ClientError

        with s3_errors():
            try:
                body: BinaryIO = client().get_object(Bucket=self._bucket, Key=key)["Body"]
            except ClientError as exc:
                if is_no_key(exc):
                    return None
                raise
        return body

    def link(self, key: str, filename: str) -> str | None:
        named = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        asked = {"Bucket": self._bucket, "Key": key, "ResponseContentDisposition": named}
        with s3_errors():
            link: str = client().generate_presigned_url("get_object", Params=asked, ExpiresIn=LINK_SECONDS)
        return link

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


class AnnouncedBlobs(S3Blobs):
    """Of machines that share a bucket: the one that put an upload reads it (docs/adr/0109). Should it die before, the
    sweep of any of them does."""

    def __init__(self, bucket: str, data_dir: Path) -> None:
        super().__init__(bucket)
        self._spool = data_dir / SPOOL

    def put(self, key: str, body: bytes, *, media_type: str = "application/octet-stream") -> None:
        super().put(key, body, media_type=media_type)
        self._announce(key, len(body))

    def put_file(self, key: str, file: BinaryIO) -> None:
        super().put_file(key, file)
        self._announce(key, file.seek(0, os.SEEK_END))

    def link(self, key: str, filename: str) -> str | None:
        return None  # callers need not reach the bucket

    def _announce(self, key: str, size_bytes: int) -> None:
        try:
            announce(self._spool, key, size_bytes)
        except OSError as exc:
            raise StoreUnavailable() from exc
