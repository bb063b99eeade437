"""The indexes of a deployment: database files in the S3 bucket, used as copies under /tmp (docs/adr/0070).

A read uses this environment's copy if S3 says that it is still current (one conditional GET). A write takes that copy,
changes it, uploads it on the condition that the object is unchanged, and keeps it; if another writer was faster, it
starts again.
"""

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from sluice.adapters.documents.blobs_s3 import client, is_no_key, s3_errors, status_of
from sluice.adapters.documents.search import writing
from sluice.adapters.documents.search.database import file_ids, files_without, opened
from sluice.adapters.documents.search.found import passages
from sluice.domain.documents.document import Passage
from sluice.domain.documents.keys import index_key
from sluice.domain.documents.passages import Chunk
from sluice.domain.documents.vectors import Vectors
from sluice.domain.errors import SearchUnavailable
from sluice.ports.documents import PassageQuery

ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.1
MOST_KEPT_BYTES = 300 * 1024 * 1024
"""Lambda has 512 MB of /tmp; the rest is for the copy that is being written."""
LEFT_SECONDS = 3600
"""After which a working copy is of a process that was killed: no invocation lives so long."""
NOT_FOUND = 404
NOT_MODIFIED = 304
CHANGED_MEANWHILE = (409, 412)
T = TypeVar("T")


class BucketIndexes:
    """`sluice.ports.documents.Indexes`."""

    def __init__(
        self, bucket: str, folder: Path, floor: float | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`floor`: the owner's own, of every store and model."""
        self._bucket, self._folder, self._floor, self._sleep = bucket, folder, floor, sleep

    def find(self, account_id: str, store_id: str, query: PassageQuery) -> list[Passage]:
        return self._asked(account_id, store_id, lambda found: passages(found, store_id, query, self._floor), [])

    def files(self, account_id: str, store_id: str) -> set[str]:
        return self._asked(account_id, store_id, file_ids, set())

    def without(self, account_id: str, store_id: str, model: str) -> set[str]:
        return self._asked(account_id, store_id, lambda found: files_without(found, model), set())

    def replace(
        self,
        account_id: str,
        store_id: str,
        file_id: str,
        filename: str,
        chunks: Sequence[Chunk],
        vectors: Vectors | None = None,
    ) -> None:
        self._change(
            account_id, store_id, lambda connection: writing.replace(connection, file_id, filename, chunks, vectors)
        )

    def remove(self, account_id: str, store_id: str, file_id: str) -> None:
        self._change(account_id, store_id, lambda connection: writing.remove(connection, file_id), only_if_there=True)

    def drop(self, account_id: str, store_id: str) -> None:
        with s3_errors():
            client().delete_object(Bucket=self._bucket, Key=index_key(account_id, store_id))
        self._forget(account_id, store_id)

    # --- reading

    def _asked(self, account_id: str, store_id: str, question: Callable[[apsw.Connection], T], nothing: T) -> T:
        """On one machine other threads and processes have the same copies. A reader whose copy is gone downloads one,
        which is its own until it has the answer.

        Errors: SearchUnavailable, StoreUnavailable.
        """
        key = index_key(account_id, store_id)
        kept = next(iter(self._copies(account_id, store_id)), None)
        found = self._get(key, _etag(kept) if kept else "")
        if kept and found is None:
            with suppress(FileNotFoundError), opened(kept, shared=False, make=False) as connection:
                return question(connection)
            found = self._get(key, "")
        self._forget(account_id, store_id)  # before the new one: /tmp would not hold two of the largest
        body, etag = found or (b"", "")
        if not etag:
            return nothing
        with self._private() as copy:
            self._make_room(len(body))
            copy.write_bytes(body)
            with opened(copy, shared=False, make=False) as connection:
                answer = question(connection)
            self._keep(copy, account_id, store_id, etag)
        return answer

    def _get(self, key: str, known: str) -> tuple[bytes, str] | None:
        """The database and its ETag; `(b"", "")` if there is none; None if `known` is still its ETag."""
        from botocore.exceptions import ClientError

        with s3_errors():
            try:
                unless: dict[str, Any] = {"IfNoneMatch": f'"{known}"'} if known else {}
                answer = client().get_object(Bucket=self._bucket, Key=key, **unless)
                return answer["Body"].read(), answer["ETag"].strip('"')
            except ClientError as exc:
                if status_of(exc) == NOT_MODIFIED:
                    return None
                if is_no_key(exc):
                    return b"", ""
                raise

    def _copies(self, account_id: str, store_id: str) -> list[Path]:
        return sorted((self._folder / account_id).glob(f"{store_id}.*.db"))

    def _make_room(self, wanted_bytes: int) -> None:
        """Deletes the least recently used copies, and what killed processes have left."""
        copies = []
        for path in self._folder.glob("*.working*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - LEFT_SECONDS:
                    path.unlink()
        for path in self._folder.rglob("*.db"):
            with suppress(FileNotFoundError):  # another thread or process has taken it
                copies.append((path.stat(), path))
        for about, path in sorted(copies, key=lambda one: one[0].st_mtime, reverse=True):
            wanted_bytes += about.st_size
            if wanted_bytes > MOST_KEPT_BYTES:
                path.unlink(missing_ok=True)

    @contextmanager
    def _private(self) -> Iterator[Path]:
        """A place for a copy that nobody else has; at the end it is gone, if it was not kept."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = self._folder / f"{secrets.token_hex(8)}.working"
        try:
            yield copy
        finally:
            for path in (copy, copy.with_name(copy.name + "-journal")):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _keep(self, copy: Path, account_id: str, store_id: str, etag: str) -> None:
        self._forget(account_id, store_id)
        kept = self._folder / account_id / f"{store_id}.{etag}.db"
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(copy, kept)

    def _forget(self, account_id: str, store_id: str) -> None:
        for path in self._copies(account_id, store_id):
            path.unlink(missing_ok=True)

    # --- writing

    def _change(
        self, account_id: str, store_id: str, work: Callable[[apsw.Connection], None], *, only_if_there: bool = False
    ) -> None:
        """Errors: SearchUnavailable (other writers were faster each time), StoreUnavailable."""
        for attempt in range(ATTEMPTS):
            with self._private() as copy:
                known = self._take(account_id, store_id, copy)
                if only_if_there and not known:
                    return
                with opened(copy, shared=False) as connection:
                    work(connection)
                etag = self._put(index_key(account_id, store_id), copy.read_bytes(), known)
                if etag:
                    self._make_room(copy.stat().st_size)
                    self._keep(copy, account_id, store_id, etag)
                    return
            self._sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))
        raise SearchUnavailable()

    def _take(self, account_id: str, store_id: str, copy: Path) -> str:
        """The newest, as `copy` → its ETag; empty if there is none. What is kept is moved, because two of the largest
        would not fit into /tmp; whoever fails downloads it anew. Errors: StoreUnavailable."""
        known = ""
        for kept in self._copies(account_id, store_id):
            with suppress(FileNotFoundError):  # another thread or process of this machine was faster
                os.replace(kept, copy)
                known = _etag(kept)
        found = self._get(index_key(account_id, store_id), known)
        if found is None:
            return known
        body, etag = found
        copy.unlink(missing_ok=True)
        if etag:
            self._make_room(len(body))
            copy.write_bytes(body)
        return etag

    def _put(self, key: str, body: bytes, etag: str) -> str:
        """The new ETag; empty if another writer was faster."""
        from botocore.exceptions import ClientError

        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        with s3_errors():
            try:
                answer = client().put_object(Bucket=self._bucket, Key=key, Body=body, **condition)
                return str(answer["ETag"]).strip('"')
            except ClientError as exc:
                # 404: it was deleted since it was read. The next attempt creates it again if that is still needed.
                if status_of(exc) in (*CHANGED_MEANWHILE, NOT_FOUND):
                    return ""
                raise


def _etag(kept: Path) -> str:
    return kept.name.split(".")[1]
