"""The documents of the web pages: one vector store for each account, in which each file name is unique."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sluice.domain.documents import keys
from sluice.domain.documents.document import Attachment, File, VectorStore
from sluice.domain.documents.passages import Chunk, chunks_of
from sluice.domain.documents.retrieval import MAX_STORES
from sluice.domain.documents.uploads import clean_filename, numbered, own_store_id
from sluice.domain.errors import NotFound
from sluice.services.documents.file_text import blocks_of
from sluice.services.documents.files import Files
from sluice.services.documents.vector_stores import VectorStores

NAME = "My documents"
PURPOSE = "user_data"
SHOWN = 500


@dataclass(frozen=True)
class Document:
    """A file as its owner sees it. `attachment`: its entry in the pages' vector store, if it is there."""

    file: File
    attachment: Attachment | None

    @property
    def status(self) -> str:
        """ "ready", "reading", "failed", or "stored" (uploaded by an API call and not in the pages' vector store)."""
        if self.file.status == "error" or (self.attachment and self.attachment.status == "failed"):
            return "failed"
        if self.attachment is None:
            return "stored"
        return "ready" if self.attachment.status == "completed" else "reading"

    @property
    def reason(self) -> str:
        return (self.attachment.error if self.attachment else None) or self.file.status_detail or ""


@dataclass(frozen=True)
class MyDocuments:
    """Every method may raise StoreUnavailable."""

    files: Files
    stores: VectorStores

    def keep(self, account_id: str, filename: str, body: bytes, now_ms: int) -> File:
        """Store the file, then delete older ones of its name. Can be repeated. Errors: as `Files.upload`."""
        older = [one.file for one in self.all(account_id) if one.attachment and one.file.filename == filename]
        file = self._kept(account_id, filename, body, older, now_ms)
        for old in older:
            if old.file_id != file.file_id:
                self._forget(account_id, old.file_id)
        return file

    def keep_beside(self, account_id: str, filename: str, body: bytes, now_ms: int) -> File:
        """Store the file beside others of its name, as `notes (2).txt`. The same file again is stored once. Errors: as
        `Files.upload`."""
        name = clean_filename(filename)
        there = [one.file for one in self.all(account_id) if one.attachment]
        taken = {file.filename for file in there}
        names = (name, *(numbered(name, number) for number in range(2, len(taken) + 2)))
        free = next(one for one in names if one not in taken)
        return self._kept(account_id, free, body, [file for file in there if file.filename in names], now_ms)

    def _kept(self, account_id: str, filename: str, body: bytes, there: Iterable[File], now_ms: int) -> File:
        """The same file, if it is `there`, or a new one."""
        store, sha256 = self.own(account_id, now_ms), hashlib.sha256(body).hexdigest()
        same = next((file for file in there if file.sha256 == sha256 and file.status != "error"), None)
        file = same or self.files.upload(account_id, filename, PURPOSE, body, now_ms)
        self.stores.attach(account_id, store.store_id, file.file_id, {}, now_ms)
        return file

    def has(self, account_id: str, file_id: str) -> bool:
        return self.files.files.get(account_id, file_id) is not None

    def own(self, account_id: str, now_ms: int) -> VectorStore:
        """The store that the pages show. Its id is always the same, so that two concurrent first uploads create one. If
        it has expired, it is in use again, because the pages have no other."""
        store_id = own_store_id(account_id)
        found = self.stores.stores.get(account_id, store_id)
        if found is None:
            found = VectorStore(account_id, store_id, NAME, now_ms, now_ms)
            self.stores.stores.put(found)
        elif found.expired(now_ms):
            self.stores.stores.used(account_id, store_id, now_ms)
        return found

    def _forget(self, account_id: str, file_id: str) -> None:
        try:
            self.files.delete(account_id, file_id)
        except NotFound:
            return  # another request deleted it first

    def all(self, account_id: str) -> list[Document]:
        """Newest first, the newest 500."""
        found, _ = self.files.page(account_id, limit=SHOWN, after_id=None, newest_first=True)
        there = {one.file_id: one for one in self.stores.stores.attachments(account_id, own_store_id(account_id))}
        return [Document(file, there.get(file.file_id)) for file in found]

    def one(self, account_id: str, file_id: str) -> Document:
        """Errors: NotFound."""
        file = self.files.get(account_id, file_id)
        return Document(file, self.stores.stores.attachment(account_id, own_store_id(account_id), file_id))

    def passages(self, account_id: str, file_id: str) -> list[Chunk]:
        """What was read out of it, as it is searched. [] while nothing was."""
        kept = self.files.blobs.get(keys.text_key(account_id, file_id))
        return list(chunks_of(blocks_of(kept))) if kept is not None else []

    def searched(self, account_id: str, now_ms: int) -> list[str]:
        """The vector stores that "my documents" means: the pages' own, then the newest that API calls created. A search
        follows, so they are in use now."""
        own = own_store_id(account_id)
        live = [store for store in self.stores.all(account_id) if not store.expired(now_ms)]
        chosen = sorted(live, key=lambda store: store.store_id != own)[:MAX_STORES]
        for store in chosen:
            if store.use_counts(now_ms):
                self.stores.stores.used(account_id, store.store_id, now_ms)
        return [store.store_id for store in chosen]
