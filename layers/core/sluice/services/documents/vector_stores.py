"""Vector stores: which files are searched together. Attaching or detaching a file sends an event to `ingestion`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sluice.domain.documents import keys
from sluice.domain.documents.document import HOUR_MS, Attachment, VectorStore
from sluice.domain.documents.uploads import BATCH, FILE, STORE, Attributes, is_id, new_id
from sluice.domain.errors import Conflict, LimitReached, NotFound
from sluice.ports.documents import Blobs, VectorStoreStore
from sluice.services.documents.file_text import blocks_of
from sluice.services.documents.files import Files

PAGE = 100
MOST_BATCHES = 100  # of a vector store, the newest


@dataclass(frozen=True)
class PageOfAttachments:
    """Which part of a list of attachments. `status`: only those with this status, None for all."""

    limit: int
    after_id: str | None
    before_id: str | None
    newest_first: bool
    status: str | None

    def of(self, attachments: Sequence[Attachment]) -> tuple[list[Attachment], bool]:
        """`attachments`: all of them, newest first. → the page, and whether there are more."""
        ordered = attachments if self.newest_first else attachments[::-1]
        ids = [one.file_id for one in ordered]
        start = (ids.index(self.after_id) + 1 if self.after_id in ids else len(ids)) if self.after_id else 0
        end = ids.index(self.before_id) if self.before_id in ids else len(ids)
        kept = [one for one in ordered[start:end] if self.status in (None, one.status)]
        return kept[: self.limit], len(kept) > self.limit


@dataclass(frozen=True)
class Batch:
    """Files that were attached in one call, so that an SDK can wait for all of them."""

    batch_id: str
    store_id: str
    created_ms: int
    attachments: list[Attachment]

    def page(self, page: PageOfAttachments) -> tuple[list[Attachment], bool]:
        """→ the page, and whether there are more."""
        return page.of(self.attachments[::-1])


@dataclass(frozen=True)
class VectorStores:
    """Vector stores of the given account; another account's is NotFound. Every method may raise StoreUnavailable."""

    stores: VectorStoreStore
    blobs: Blobs
    files: Files

    def create(
        self,
        account_id: str,
        name: str,
        metadata: Mapping[str, str],
        now_ms: int,
        expires_days: int | None = None,
    ) -> VectorStore:
        """Expired ones make room: the sweep finds only those with an index. Errors: LimitReached."""
        store = VectorStore(account_id, new_id(STORE, now_ms), name, now_ms, now_ms, dict(metadata), expires_days)
        try:
            self.stores.put(store)
        except LimitReached:
            expired = [one for one in self.all(account_id) if one.expired(now_ms - HOUR_MS)]
            if not expired:
                raise
            for one in expired:
                self.delete(account_id, one.store_id)
            self.stores.put(store)
        return store

    def create_with_files(
        self,
        account_id: str,
        name: str,
        metadata: Mapping[str, str],
        file_ids: Sequence[str],
        now_ms: int,
        expires_days: int | None = None,
    ) -> tuple[VectorStore, list[Attachment]]:
        """Errors: NotFound (no such file), before the vector store is created; LimitReached."""
        for file_id in file_ids:
            self.files.get(account_id, file_id)
        store = self.create(account_id, name, metadata, now_ms, expires_days)
        once = dict.fromkeys(file_ids)
        return store, [self.attach(account_id, store.store_id, file_id, {}, now_ms) for file_id in once]

    def get(self, account_id: str, store_id: str) -> VectorStore:
        """Errors: NotFound."""
        store = self.stores.get(account_id, store_id) if is_id(STORE, store_id) else None
        if store is None:
            raise NotFound(f"There is no vector store {store_id[:64]!r}.")
        return store

    def used(self, account_id: str, store_id: str, now_ms: int) -> VectorStore:
        """The vector store, which is active now. Errors: NotFound, also for one that has expired."""
        store = self.get(account_id, store_id)
        if store.expired(now_ms):
            raise NotFound(f"There is no vector store {store_id!r}, it has expired.")
        if store.use_counts(now_ms):
            self.stores.used(account_id, store_id, now_ms)
        return store

    def page(
        self, account_id: str, *, limit: int, after_id: str | None, newest_first: bool = True
    ) -> tuple[list[VectorStore], bool]:
        """→ the page, and whether there are more."""
        if newest_first:
            found = self.stores.page(account_id, limit=limit + 1, after_id=after_id)
            return found[:limit], len(found) > limit
        oldest = self.all(account_id)[::-1]
        places = [place for place, store in enumerate(oldest) if store.store_id == after_id]
        rest = oldest[places[0] + 1 :] if places else [] if after_id else oldest
        return rest[:limit], len(rest) > limit

    def all(self, account_id: str) -> list[VectorStore]:
        """Newest first."""
        found: list[VectorStore] = []
        while True:
            batch = self.stores.page(account_id, limit=PAGE, after_id=found[-1].store_id if found else None)
            found += batch
            if len(batch) < PAGE:
                return found

    def update(self, account_id: str, store_id: str, *, now_ms: int, **changes: Any) -> VectorStore:
        """`changes`: new values of fields. Errors: NotFound, also for one that has expired."""
        store = self.used(account_id, store_id, now_ms)
        changed = replace(store, **changes, last_active_ms=now_ms)
        self.stores.update(changed)
        return changed

    def delete(self, account_id: str, store_id: str) -> None:
        """Delete the vector store but not its files. Errors: NotFound."""
        self.get(account_id, store_id)
        for key in list(self.blobs.keys(keys.batch_key(account_id, store_id))):
            self.blobs.delete(key)
        found = self.stores.delete(account_id, store_id)
        self.blobs.put(keys.change_key(account_id, store_id), b"")
        if not found:
            raise NotFound(f"There is no vector store {store_id[:64]!r}.")

    # --- the files in one

    def attach(self, account_id: str, store_id: str, file_id: str, attributes: Attributes, now_ms: int) -> Attachment:
        """A file that is attached already is returned unchanged. Errors: NotFound (no such store, or no such file)."""
        self.used(account_id, store_id, now_ms)
        if not is_id(FILE, file_id):
            raise NotFound(f"There is no file {file_id[:64]!r}.")
        try:
            attached = self.stores.attach(
                Attachment(account_id, store_id, file_id, now_ms, attributes=dict(attributes))
            )
        except NotFound as exc:
            raise NotFound(f"There is no file {file_id!r}.") from exc
        self.blobs.put(keys.change_key(account_id, store_id, file_id), b"")
        return attached

    def attachment(self, account_id: str, store_id: str, file_id: str) -> Attachment:
        """Errors: NotFound."""
        self.get(account_id, store_id)
        found = self.stores.attachment(account_id, store_id, file_id) if is_id(FILE, file_id) else None
        if found is None:
            raise NotFound(f"There is no file {file_id[:64]!r} in this vector store.")
        return found

    def attachments(self, account_id: str, store_id: str) -> list[Attachment]:
        """Newest first. Errors: NotFound."""
        self.get(account_id, store_id)
        found = self.stores.attachments(account_id, store_id)
        return sorted(found, key=lambda one: (one.created_ms, one.file_id), reverse=True)

    def attachments_page(
        self, account_id: str, store_id: str, page: PageOfAttachments
    ) -> tuple[list[Attachment], bool]:
        """→ the page, and whether there are more. Errors: NotFound."""
        return page.of(self.attachments(account_id, store_id))

    def detach(self, account_id: str, store_id: str, file_id: str) -> None:
        """Take the file out of the vector store without deleting it. Errors: NotFound."""
        self.attachment(account_id, store_id, file_id)
        self.stores.detach(account_id, store_id, file_id)
        self.blobs.put(keys.change_key(account_id, store_id, file_id), b"")

    def set_attributes(self, account_id: str, store_id: str, file_id: str, attributes: Attributes) -> Attachment:
        """In force with the next search. Errors: NotFound."""
        found = self.attachment(account_id, store_id, file_id)
        if not self.stores.set_attributes(account_id, store_id, file_id, attributes):
            raise NotFound(f"There is no file {file_id!r} in this vector store.")
        return replace(found, attributes=dict(attributes))

    def text(self, account_id: str, store_id: str, file_id: str) -> str:
        """What was read out of a file. Errors: NotFound, Conflict (nothing was read yet)."""
        self.attachment(account_id, store_id, file_id)
        kept = self.blobs.get(keys.text_key(account_id, file_id))
        if kept is None:
            raise Conflict("The text of this file was not read: see its status.")
        return "\n\n".join(block.text for block in blocks_of(kept))

    # --- several at once

    def attach_batch(
        self, account_id: str, store_id: str, files: Sequence[tuple[str, Attributes]], now_ms: int
    ) -> Batch:
        """Not atomic: files attached before an unknown one stay attached. Errors: NotFound."""
        attached = [self.attach(account_id, store_id, file_id, attributes, now_ms) for file_id, attributes in files]
        made = Batch(new_id(BATCH, now_ms), store_id, now_ms, attached)
        kept = {"created_ms": now_ms, "file_ids": [one.file_id for one in attached]}
        self.blobs.put(keys.batch_key(account_id, store_id, made.batch_id), json.dumps(kept).encode())
        for old in list(self.blobs.keys(keys.batch_key(account_id, store_id)))[:-MOST_BATCHES]:  # ids sort by time
            self.blobs.delete(old)
        return made

    def batch(self, account_id: str, store_id: str, batch_id: str) -> Batch:
        """The batch with the current state of its files; detached ones are left out. Errors: NotFound."""
        self.get(account_id, store_id)
        kept = self.blobs.get(keys.batch_key(account_id, store_id, batch_id)) if is_id(BATCH, batch_id) else None
        if kept is None:
            raise NotFound(f"There is no file batch {batch_id[:64]!r} in this vector store.")
        made = json.loads(kept)
        attached = self.stores.attached(account_id, store_id, made["file_ids"])
        still = [attached[file_id] for file_id in made["file_ids"] if file_id in attached]
        return Batch(batch_id, store_id, made["created_ms"], still)

    def cancel_batch(self, account_id: str, store_id: str, batch_id: str) -> Batch:
        """Its files that are not searchable yet will not be; the others stay. Errors: NotFound."""
        for one in self.batch(account_id, store_id, batch_id).attachments:
            if one.status == "in_progress":
                self.stores.cancel(account_id, store_id, one.file_id)
        return self.batch(account_id, store_id, batch_id)
