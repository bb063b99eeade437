"""Blobs in a folder of the data directory, and the events of their puts in a spool, as S3 tells a queue of its own.

A put: the blob is whole on disk, then its event is. A death between the two leaves an upload without an event; its
caller had no answer, and the sweep of `ingestion` finds it. The names of events sort by time and hold the account's id.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sluice.adapters.whole_files import write_whole
from sluice.domain.documents.keys import EVENT_KINDS
from sluice.domain.errors import StoreUnavailable

BUCKET = "documents"
SPOOL = "documents-events"
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class FolderBlobs:
    """`sluice.ports.documents.Blobs`. Errors: StoreUnavailable for what the disk refuses."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / BUCKET
        self._spool = data_dir / SPOOL

    def put(self, key: str, body: bytes, *, media_type: str = "application/octet-stream") -> None:
        path = self.path(key)
        try:
            write_whole(path, body)
            kind, account_id, *_ = [*key.split("/"), ""]
            if kind in EVENT_KINDS:
                name = f"{time.time_ns():020d}-{account_id.replace('.', '_')}-{secrets.token_hex(4)}.json"
                write_whole(self._spool / name, _event(key, len(body)))
        except OSError as exc:
            raise StoreUnavailable() from exc

    def get(self, key: str) -> bytes | None:
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreUnavailable() from exc

    def delete(self, key: str) -> None:
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as exc:
            raise StoreUnavailable() from exc

    def keys(self, prefix: str) -> Iterator[str]:
        """`prefix` ends with a slash: a folder. Drafts of writes that died are listed too, to be deleted with it."""
        folder = self.path(prefix.rstrip("/"))
        with suppress(FileNotFoundError):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield str(path.relative_to(self.root))

    def path(self, key: str) -> Path:
        parts = key.split("/")
        if not all(PART.fullmatch(part) for part in parts):
            raise ValueError(f"no key of a blob: {key!r}")
        return self.root.joinpath(*parts)


def _event(key: str, size_bytes: int) -> bytes:
    """What S3 writes of a put, as far as anything here reads it."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": size_bytes}},
    }
    return json.dumps({"Records": [record]}).encode()
