"""Uploads: a file that arrives in parts, because it is larger than one request may be (ADR 128).

    begin ─ parts ─┬─ complete: put together ─ marked ─ file ─ parts deleted
                   └─ cancel
A completion that died can be repeated: the file's id is the upload's, so it is made once.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from sluice.domain.documents import keys
from sluice.domain.documents.document import MOST_PARTS, MOST_UPLOADS, File, Upload
from sluice.domain.documents.uploads import MAX_FILE_BYTES, MIB, PART, UPLOAD, clean_filename, is_id, new_id
from sluice.domain.errors import (
    Conflict,
    InvalidModelRequest,
    LimitReached,
    NotFound,
    RequestTooLarge,
    StorageFull,
    StoreUnavailable,
)
from sluice.ports.documents import Blobs, UploadStore
from sluice.services.documents.files import BATCH_PURPOSE, PIECE_BYTES, Files

REMEMBERED = 8  # of an account's newest that have ended, so that their last call can be repeated
SENT = 2  # how many times the bytes of an upload may be sent, because a part whose answer was lost comes again
TOO_MANY = f"This account has {MOST_UPLOADS} uploads that are not completed. Complete or cancel one first."


@dataclass(frozen=True)
class Uploads:
    """Uploads of the given account; another account's is NotFound. Every method may raise StoreUnavailable."""

    store: UploadStore
    blobs: Blobs
    files: Files

    def begin(self, account_id: str, filename: str, purpose: str, size_bytes: int, now_ms: int) -> Upload:
        """Errors: ValidationFailed, RequestTooLarge, StorageFull, LimitReached."""
        most = self.files.batch_bytes if purpose == BATCH_PURPOSE else MAX_FILE_BYTES
        if size_bytes > most:
            raise RequestTooLarge(f"A file of this purpose may have {most // MIB} MiB at most.")
        name = clean_filename(filename, "filename")
        upload = Upload(account_id, new_id(UPLOAD, now_ms), name, purpose, size_bytes, now_ms)
        limit_bytes = self.files.limit_bytes(account_id)
        for _ in range(MOST_UPLOADS + 1):  # each miss is another's upload
            number, known = self.store.known(account_id)
            live = [one for one in known if one.is_open and not one.expired(now_ms)]
            if len(live) >= MOST_UPLOADS:
                raise LimitReached(TOO_MANY)
            wanted = size_bytes + sum(one.size_bytes for one in live)
            if self.files.files.held_bytes(account_id) + wanted > limit_bytes:
                raise StorageFull(self.files.why_full(account_id, wanted, limit_bytes))
            ended = [one.upload_id for one in known if one not in live]
            if self.store.begin(upload, number, ended[:-REMEMBERED]):
                return upload
        raise StoreUnavailable()

    def add_part(self, account_id: str, upload_id: str, body: bytes | BinaryIO, now_ms: int) -> str:
        """Counted first, then written. → its id. Errors: NotFound, Conflict, InvalidModelRequest."""
        upload = self._get(account_id, upload_id)
        self._check_open(upload, now_ms)
        size = len(body) if isinstance(body, bytes) else body.seek(0, os.SEEK_END)
        if not 0 < size <= upload.size_bytes:
            raise InvalidModelRequest(f"A part has 1 to {upload.size_bytes:,} bytes: those of its upload.", "data")
        if not self.store.take_part(upload, size, SENT * upload.size_bytes):
            self._check_open(upload := self._get(account_id, upload_id), now_ms)
            if upload.status == "completing":
                raise Conflict("The completion of this upload has begun: it takes no more parts.")
            why = f"{SENT} times its bytes, in {MOST_PARTS:,} parts at most"
            raise InvalidModelRequest(f"This upload was sent too much: it takes {why}. Begin another.", "data")
        key = keys.part_key(account_id, upload_id, part_id := new_id(PART, now_ms))
        if isinstance(body, bytes):
            self.blobs.put(key, body)
        else:
            self.blobs.put_file(key, body)
        return part_id

    def complete(
        self, account_id: str, upload_id: str, part_ids: Sequence[str], md5: str | None, now_ms: int
    ) -> tuple[Upload, File]:
        """Errors: NotFound, Conflict, InvalidModelRequest (the parts), StorageFull."""
        upload = self._get(account_id, upload_id)
        try:
            if upload.status != "completed":
                self._check_open(upload, now_ms)
                self._put_together(upload, part_ids, md5, now_ms)
        except (Conflict, InvalidModelRequest):
            if self._get(account_id, upload_id).status != "completed":  # by another call, which deleted the parts
                raise
        return replace(upload, status="completed"), self.files.get(account_id, upload.file_id)

    def cancel(self, account_id: str, upload_id: str, now_ms: int) -> Upload:
        """Errors: NotFound, Conflict."""
        upload = self._get(account_id, upload_id)
        if upload.expired(now_ms):
            return replace(upload, status="expired")
        if not self.store.change(upload, ("pending", "cancelled"), "cancelled"):
            raise Conflict("This upload is completed, or its completion has begun.")
        self._delete_parts(upload)
        return replace(upload, status="cancelled")

    def _get(self, account_id: str, upload_id: str) -> Upload:
        known = self.store.known(account_id)[1] if is_id(UPLOAD, upload_id) else []
        for upload in known:
            if upload.upload_id == upload_id:
                return upload
        raise NotFound(f"There is no upload {upload_id[:64]!r}.")

    def _check_open(self, upload: Upload, now_ms: int) -> None:
        if upload.expired(now_ms):
            raise Conflict("This upload has expired: an upload must be completed within an hour.")
        if not upload.is_open:
            raise Conflict(f"This upload is {upload.status}.")

    def _put_together(self, upload: Upload, part_ids: Sequence[str], md5: str | None, now_ms: int) -> None:
        with closing(self.blobs.draft()) as draft:
            try:
                self._join(upload, part_ids, md5, draft)
            except OSError as exc:
                raise StoreUnavailable() from exc
            if not self.store.change(upload, ("pending", "completing"), "completing"):
                raise Conflict("This upload was cancelled or completed meanwhile.")
            told = (upload.filename, upload.purpose, draft, now_ms, upload.file_id)
            self.files.upload(upload.account_id, *told)
        self.store.change(upload, ("completing",), "completed")
        self._delete_parts(upload)

    def _join(self, upload: Upload, part_ids: Sequence[str], md5: str | None, draft: BinaryIO) -> None:
        if len({*part_ids}) < len(part_ids):
            raise InvalidModelRequest("A part is named twice.", "part_ids")
        digest, size = hashlib.md5(usedforsecurity=False), 0
        for part_id in part_ids:
            key = keys.part_key(upload.account_id, upload.upload_id, part_id)
            body = self.blobs.open(key) if is_id(PART, part_id) else None
            if body is None:
                raise InvalidModelRequest(f"This upload has no part {part_id[:64]!r}.", "part_ids")
            with closing(body):
                while piece := body.read(PIECE_BYTES):
                    size += draft.write(piece)
                    digest.update(piece)
        if size != upload.size_bytes:
            why = f"The parts have {size:,} bytes together, but the upload was begun for {upload.size_bytes:,}."
            raise InvalidModelRequest(why, "part_ids")
        if md5 is not None and md5.lower() != digest.hexdigest():
            raise InvalidModelRequest("The parts have another MD5 together, in this order.", "md5")

    def _delete_parts(self, upload: Upload) -> None:
        """What is left by an error expires a day later."""
        with suppress(StoreUnavailable):
            for key in list(self.blobs.keys(keys.part_key(upload.account_id, upload.upload_id))):
                self.blobs.delete(key)
