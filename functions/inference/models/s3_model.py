"""Downloads a model from S3 at start: `SLUICE_MODEL=s3://bucket/key.gguf`."""

import hashlib
import os
import re
from pathlib import Path

from functions.inference.errors import ModelFileError
from functions.inference.models.model_file import recorded_hash_file

LOCATION = re.compile(r"s3://([a-z0-9.-]{3,63})/(.+\.gguf)")


def is_s3(location: str) -> bool:
    """Whether `SLUICE_MODEL` names an object in S3."""
    return location.startswith("s3://")


def bring(location: str, sha256: str | None, models_dir: Path) -> Path:
    """The object as a file, downloaded if it is not there. The caller checks the hash, which is recorded beside it.

    Raises ModelFileError, also without a SHA-256, because anyone who may write to the bucket could replace the model.
    """
    parts = LOCATION.fullmatch(location)
    if parts is None:
        raise ModelFileError(f"{location!r} is not of the form s3://bucket/key.gguf.")
    if not sha256 or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ModelFileError("A model from S3 needs SLUICE_MODEL_SHA256, the 64 hex digits of its SHA-256.")
    folder = models_dir / hashlib.sha256(location.encode()).hexdigest()[:16]
    path = folder / parts[2].rsplit("/", 1)[-1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recorded_hash_file(path).write_text(f"{sha256}  {path.name}\n", "ascii")
        if not path.exists():
            _download(parts[1], parts[2], path)
    except OSError as exc:
        raise ModelFileError(f"{location} cannot be stored in {folder}: {exc.strerror or exc}.") from exc
    return path


def _download(bucket: str, key: str, path: Path) -> None:
    import boto3  # imported here, because it takes 0.1 s and few servers need it
    from botocore.exceptions import BotoCoreError, ClientError

    part = path.with_name(path.name + ".part")
    try:
        boto3.client("s3").download_file(bucket, key, str(part))
    except (BotoCoreError, ClientError) as exc:
        raise ModelFileError(f"s3://{bucket}/{key} cannot be downloaded: {exc}") from exc
    os.replace(part, path)
