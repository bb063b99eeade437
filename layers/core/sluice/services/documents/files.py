"""Uploaded files: store, list, download, delete. `ingestion` extracts their text."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from sluice.domain.documents import keys
from sluice.domain.documents.document import File
from sluice.domain.documents.uploads import FILE, MAX_FILE_BYTES, MIB, clean_filename, is_id, new_id
from sluice.domain.errors import Conflict, NotFound, RequestTooLarge, StorageFull, StoreUnavailable
from sluice.ports.documents import Blobs, FileStore, VectorStoreStore

BATCH_PURPOSE = "batch"
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Files:
    """Files of the given account; another account's file is NotFound. Every method may raise StoreUnavailable."""

    files: FileStore
    stores: VectorStoreStore
    blobs: Blobs
    limit_bytes: Callable[[str], int]
    """How many bytes an account may hold."""
    batch_bytes: int = MAX_FILE_BYTES
    """How many a file of requests may have."""

    def upload(
        self,
        account_id: str,
        filename: str,
        purpose: str,
        body: bytes | BinaryIO,
        now_ms: int,
        file_id: str | None = None,
    ) -> File:
        """`body`: bytes, or a draft. Count the file first, then write it, so that no file exceeds its account's storage
        limit. `file_id`: of a call that is repeated until it succeeds.

        A crash in between leaves a file without content, which is listed, fails in `ingestion` and can be deleted.
        Errors: ValidationFailed, RequestTooLarge, StorageFull, Conflict (that file has other content)."""
        is_small = isinstance(body, bytes)
        size, digest = (len(body), hashlib.sha256(body)) if isinstance(body, bytes) else _measured(body)
        most = self.batch_bytes if purpose == BATCH_PURPOSE and not is_small else MAX_FILE_BYTES
        if size > most:
            raise RequestTooLarge(f"A file may have {most // MIB} MiB at most.")
        file = File(
            account_id,
            file_id or new_id(FILE, now_ms),
            clean_filename(filename),
            purpose,
            size,
            digest.hexdigest(),
            now_ms,
            "processed" if purpose == BATCH_PURPOSE else "uploaded",  # nobody reads the text of requests
        )
        try:
            self.files.put(file, limit_bytes := self.limit_bytes(account_id))
        except StorageFull as exc:
            raise StorageFull(self.why_full(account_id, size, limit_bytes)) from exc
        if file_id and self.get(account_id, file_id).sha256 != file.sha256:
            raise Conflict(f"The file {file_id!r} has other content already.")
        try:
            key = keys.file_key(account_id, file.file_id)
            if isinstance(body, bytes):
                self.blobs.put(key, body)
            else:
                self.blobs.put_file(key, body)
        except StoreUnavailable:
            if not file_id:
                self.files.delete(account_id, file.file_id)
            raise
        return file

    def why_full(self, account_id: str, size_bytes: int, limit_bytes: int) -> str:
        held = self.files.held_bytes(account_id)
        return (
            f"This account's files hold {held / MIB:.1f} MiB of the {limit_bytes / MIB:.1f} MiB it may have: no "
            f"room for {size_bytes / MIB:.1f} MiB more. Delete files first."
        )

    def get(self, account_id: str, file_id: str) -> File:
        """Errors: NotFound."""
        file = self.files.get(account_id, file_id) if is_id(FILE, file_id) else None
        if file is None:
            raise NotFound(f"There is no file {file_id[:64]!r}.")
        return file

    def page(
        self, account_id: str, *, limit: int, after_id: str | None, newest_first: bool, purpose: str | None = None
    ) -> tuple[list[File], bool]:
        """→ the page, and whether there are more."""
        found: list[File] = []
        while len(found) <= limit:
            batch = self.files.page(account_id, limit=limit + 1, after_id=after_id, newest_first=newest_first)
            found += [file for file in batch if purpose in (None, file.purpose)]
            if len(batch) <= limit:
                break
            after_id = batch[-1].file_id
        return found[:limit], len(found) > limit

    def opened(self, account_id: str, file_id: str) -> tuple[File, BinaryIO | str]:
        """The content to be read in pieces; of a large file, where it can be, the address to read it from. Errors:
        NotFound."""
        file, key = self.get(account_id, file_id), keys.file_key(account_id, file_id)
        if file.size_bytes > MAX_FILE_BYTES and (link := self.blobs.link(key, file.filename)) is not None:
            return file, link
        body = self.blobs.open(key)
        if body is None:
            raise NotFound("This file has no content: its upload broke off.")
        return file, body

    def delete(self, account_id: str, file_id: str) -> None:
        """Detach the file from every vector store first, so that searches do not find it. Delete its row late, so that
        an interrupted deletion can be repeated. Errors: NotFound."""
        self.get(account_id, file_id)
        self._detach(account_id, file_id)
        gone = not self.files.delete(account_id, file_id)
        self._detach(account_id, file_id)  # again, for attachments made in the meantime; from here on none can be made
        self.blobs.delete(keys.file_key(account_id, file_id))
        self.blobs.delete(keys.text_key(account_id, file_id))
        if gone:
            raise NotFound(f"There is no file {file_id[:64]!r}.")

    def _detach(self, account_id: str, file_id: str) -> None:
        for store_id in self.stores.stores_with(account_id, file_id):
            self.stores.detach(account_id, store_id, file_id)
            self.blobs.put(keys.change_key(account_id, store_id, file_id), b"")


def _measured(draft: BinaryIO) -> tuple[int, Any]:
    """Its size, and the hash of its bytes."""
    digest = hashlib.sha256()
    draft.seek(0)
    while piece := draft.read(PIECE_BYTES):
        digest.update(piece)
    return draft.tell(), digest
