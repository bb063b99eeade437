"""Blobs in a folder of the data directory, and events of their puts in a spool, like S3's notifications.

A put writes the blob, then its event. A crash between the two leaves an upload without an event; the caller got no
answer, and the sweep of `ingestion` finds it. Event names sort by time and contain the account id.
"""

import json
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from sluice.adapters.whole_files import copy_whole, write_whole
from sluice.domain.documents.keys import EVENT_KINDS
from sluice.domain.errors import StoreUnavailable

BUCKET = "documents"
SPOOL = "documents-events"
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class FolderBlobs:
    """`sluice.ports.documents.Blobs`. Errors: StoreUnavailable if the disk refuses an operation."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / BUCKET
        self._spool = data_dir / SPOOL

    def put(self, key: str, body: bytes, *, media_type: str = "application/octet-stream") -> None:
        path = self.path(key)
        try:
            write_whole(path, body)
            announce(self._spool, key, len(body))
        except OSError as exc:
            raise StoreUnavailable() from exc

    def draft(self) -> BinaryIO:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self.root)
        except OSError as exc:
            raise StoreUnavailable() from exc

    def put_file(self, key: str, file: BinaryIO) -> None:
        path = self.path(key)
        try:
            file.seek(0)
            copy_whole(path, file)
            announce(self._spool, key, file.tell())
        except OSError as exc:
            raise StoreUnavailable() from exc

    def open(self, key: str) -> BinaryIO | None:
        try:
            return self.path(key).open("rb")
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreUnavailable() from exc

    def get(self, key: str) -> bytes | None:
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreUnavailable() from exc

    def link(self, key: str, filename: str) -> str | None:
        return None

    def delete(self, key: str) -> None:
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as exc:
            raise StoreUnavailable() from exc

    def keys(self, prefix: str) -> Iterator[str]:
        """`prefix` is a folder and ends with a slash. The keys include drafts of interrupted writes."""
        folder = self.path(prefix.rstrip("/"))
        with suppress(FileNotFoundError):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield str(path.relative_to(self.root))

    def path(self, key: str) -> Path:
        parts = key.split("/")
        if not all(PART.fullmatch(part) for part in parts):
            raise ValueError(f"not a blob key: {key!r}")
        return self.root.joinpath(*parts)


def announce(spool: Path, key: str, size_bytes: int) -> None:
    """Put the event of a put into the spool, if its kind has events. Errors: OSError."""
    kind, account_id, *_ = [*key.split("/"), ""]
    if kind in EVENT_KINDS:
        name = f"{time.time_ns():020d}-{account_id.replace('.', '_')}-{secrets.token_hex(4)}.json"
        write_whole(spool / name, _event(key, size_bytes))


def _event(key: str, size_bytes: int) -> bytes:
    """S3's event for a put, with only the fields that are read here."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": size_bytes}},
    }
    return json.dumps({"Records": [record]}).encode()
