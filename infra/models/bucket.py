"""Model files in S3: one object, or the only .gguf of a folder. Credentials, region and endpoint are boto3's own."""

import re
from collections.abc import Callable
from typing import Any

from infra.download import DownloadError

LOCATION = re.compile(r"s3://([a-z0-9.-]{3,63})/(.*)")
SIGNED_SECONDS = 12 * 3600
"""An address lives as long as a slow download."""
MOST_NAMED = 10


def signed_url(location: str) -> str:
    """An https address of the object `s3://bucket/key`. Errors: DownloadError."""
    bucket, key = _parts(location)
    place = {"Bucket": bucket, "Key": key}
    return str(_ask(location, lambda s3: s3.generate_presigned_url("get_object", place, ExpiresIn=SIGNED_SECONDS)))


def object_of(location: str) -> str:
    """The location, or of a folder the only .gguf within it. Errors: DownloadError, which names what is there."""
    bucket, key = _parts(location)
    if key.endswith(".gguf"):
        return location
    folder = key.rstrip("/") + "/" if key else ""
    pages = _ask(location, lambda s3: list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)))
    found = [item["Key"] for page in pages for item in page.get("Contents", []) if item["Key"].endswith(".gguf")]
    if len(found) == 1:
        return f"s3://{bucket}/{found[0]}"
    if not found:
        raise DownloadError(f"{location} has no .gguf file.")
    names = ", ".join(f"s3://{bucket}/{name}" for name in found[:MOST_NAMED])
    raise DownloadError(f"{location} has {len(found)} .gguf files; name one of them: {names}.")


def _parts(location: str) -> tuple[str, str]:
    if (parts := LOCATION.fullmatch(location)) is None:
        raise DownloadError(f"{location!r} is not of the form s3://bucket/folder or s3://bucket/key.gguf.")
    return parts[1], parts[2]


def _ask(location: str, question: Callable[[Any], Any]) -> Any:
    import boto3  # imported here, because it takes 0.1 s
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return question(boto3.client("s3", config=Config(signature_version="s3v4")))
    except (BotoCoreError, ClientError) as exc:
        raise DownloadError(f"{location} cannot be read: {exc}") from exc
