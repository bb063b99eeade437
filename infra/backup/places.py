"""Where backups are kept: a folder, or a bucket of S3. Only files with a backup's name are listed and deleted."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from infra.backup.errors import BackupRefused
from sluice.adapters.whole_files import sync_folder

NAME = re.compile(r"sluice-backup-\d{8}T\d{6}Z\.tar\.gz(\.age)?", re.ASCII)
LOCATION = re.compile(r"s3://([a-z0-9.-]{3,63})(?:/(.*))?", re.ASCII)
ABANDONED_SECONDS = 3_600
Check = Callable[[BinaryIO], None]


class Place(Protocol):
    """Errors of each: BackupRefused, OSError."""

    def draft(self, name: str, scratch: Path) -> Path:
        """Where to write the file before `put`. `scratch`: a folder of this machine."""

    def put(self, draft: Path, name: str, check: Check) -> None:
        """Keep it under its name. `check` reads what is kept; if it raises, nothing is."""

    def names(self) -> list[str]:
        """The oldest first."""

    def delete(self, name: str) -> None: ...

    def where(self, name: str) -> str: ...


class Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def draft(self, name: str, scratch: Path) -> Path:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._path.glob(".sluice-backup-*.part"):  # of a backup that was killed
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
        return self._path / f".{name}.part"

    def put(self, draft: Path, name: str, check: Check) -> None:
        with draft.open("rb") as file:
            check(file)
        if (self._path / name).exists():
            raise BackupRefused(f"{self.where(name)} is there already.")
        os.rename(draft, self._path / name)
        sync_folder(self._path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self._path.iterdir() if NAME.fullmatch(path.name) and path.is_file())

    def delete(self, name: str) -> None:
        (self._path / name).unlink()

    def where(self, name: str) -> str:
        return str(self._path / name)


class Bucket:
    """`s3://bucket/folder`. Credentials, region and endpoint are boto3's own."""

    def __init__(self, bucket: str, folder: str) -> None:
        self._bucket, self._folder = bucket, f"{folder.strip('/')}/" if folder.strip("/") else ""

    def draft(self, name: str, scratch: Path) -> Path:
        return scratch / name

    def put(self, draft: Path, name: str, check: Check) -> None:
        with _s3(self.where(name)) as s3:
            s3.upload_file(str(draft), self._bucket, self._folder + name)
        try:
            with self.open(name) as file:
                check(file)
        except BaseException:
            self.delete(name)
            raise

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with _s3(self.where(name)) as s3:
            body = s3.get_object(Bucket=self._bucket, Key=self._folder + name)["Body"]
            try:
                yield cast(BinaryIO, body)
            finally:
                body.close()

    def names(self) -> list[str]:
        with _s3(self.where("")) as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._folder)
            keys = [item["Key"].removeprefix(self._folder) for page in pages for item in page.get("Contents", [])]
        return sorted(filter(NAME.fullmatch, keys))

    def delete(self, name: str) -> None:
        with _s3(self.where(name)) as s3:
            s3.delete_object(Bucket=self._bucket, Key=self._folder + name)

    def where(self, name: str) -> str:
        return f"s3://{self._bucket}/{self._folder}{name}"


def place(text: str, data_dir: Path) -> Place:
    """Errors: BackupRefused."""
    if found := LOCATION.fullmatch(text):
        return Bucket(found[1], found[2] or "")
    if "://" in text:
        raise BackupRefused(f"{text!r} is neither a folder nor of the form s3://bucket/folder.")
    folder = Path(text).expanduser().absolute()
    if folder.resolve().is_relative_to(data_dir.resolve()):
        raise BackupRefused(f"{folder} is in the data directory, and would be lost with it. Name another folder: --to.")
    return Folder(folder)


@contextmanager
def opened(text: str) -> Iterator[BinaryIO]:
    """A backup, of a file or of s3://bucket/key. Errors: BackupRefused, OSError."""
    if found := LOCATION.fullmatch(text):
        folder, _, name = (found[2] or "").rpartition("/")
        with Bucket(found[1], folder).open(name) as body:
            yield body
        return
    with Path(text).expanduser().open("rb") as file:
        yield file


@contextmanager
def _s3(where: str) -> Iterator[Any]:
    import boto3  # imported here, because it takes 0.1 s
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield boto3.client("s3")
    except (Boto3Error, BotoCoreError, ClientError) as exc:
        raise BackupRefused(f"{where} cannot be used: {exc}") from exc
