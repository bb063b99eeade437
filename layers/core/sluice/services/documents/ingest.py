"""From an upload to its text, from its text to the passages of every vector store it is in, and out of them again.

    upload ── event ──▶ text read, kept, file "processed" or "error"
    attach ┐
    detach ┼─ event ──▶ what do the rows say by now? ─▶ index holds the file, or does not ─▶ do they still say so?
    delete ┘
No event is an order: each only says where to look, so it may come twice, late, or beside another of the same file.
An event whose handling failed comes again. `sweep.py` finds work whose event was lost, in the index of pending rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluice.domain.documents import keys
from sluice.domain.documents.document import Attachment, File, Unreadable
from sluice.domain.documents.passages import Block, Chunk, chunks_of
from sluice.domain.documents.uploads import MIB
from sluice.domain.documents.vectors import Vectors
from sluice.domain.errors import InvalidModelRequest, SluiceError, Unavailable
from sluice.ports.documents import Blobs, FileStore, Indexes, PendingDocuments, VectorStoreStore
from sluice.services.documents.embed import Embed
from sluice.services.documents.file_text import FileText

ROUNDS = 5
WORDS_FIRST = 64
"""A file of more passages is indexed by words before its vectors are made, which takes seconds."""
SMALL_BYTES = 64 * 1024
"""A file with so little text is not weighed: the number of an account's files in vector stores is bounded, too."""


@dataclass(frozen=True)
class Ingestion:
    """Errors of every method: Unavailable, after which the same event has to come again."""

    files: FileStore
    stores: VectorStoreStore
    blobs: Blobs
    indexes: Indexes
    waiting: PendingDocuments
    read: Callable[[File, bytes], Sequence[Block]]
    """Raises Unreadable."""
    embed: Embed | None = None
    most_text_bytes: int = 10 * 100 * MIB
    """Of all of an account's indexes: a file of 4 MiB may be in 1,000 vector stores, and a DOCX of 70 KB holds 8 MB."""

    @property
    def _text(self) -> FileText:
        return FileText(self.blobs, self.read)

    def uploaded(self, account_id: str, file_id: str) -> None:
        file = self.files.get(account_id, file_id)
        if file is None:
            self._forget(account_id, file_id)
        elif file.status == "uploaded":
            try:
                self._text.blocks(file)
            except Unreadable as exc:
                self.files.set_status(account_id, file_id, "error", str(exc))
            else:
                self.files.set_status(account_id, file_id, "processed")
            if self.files.get(account_id, file_id) is None:
                self._forget(account_id, file_id)

    def _forget(self, account_id: str, file_id: str) -> None:
        self.blobs.delete(keys.file_key(account_id, file_id))
        self.blobs.delete(keys.text_key(account_id, file_id))
        for key in list(self.blobs.keys(keys.vectors_prefix(account_id, file_id))):
            self.blobs.delete(key)
        for store_id in self.stores.stores_with(account_id, file_id):  # a deletion that died before it detached
            self.stores.detach(account_id, store_id, file_id)
            self.changed(account_id, store_id, file_id)
        self.waiting.settled(account_id, "", file_id)

    def changed(self, account_id: str, store_id: str, file_id: str, *, words_only: bool = False) -> None:
        """`words_only`: without vectors, because their model was away too often; `stale` finds such files."""
        if self.stores.get(account_id, store_id) is None:
            self.drop(account_id, store_id)
            self.waiting.settled(account_id, store_id, file_id)
        elif file_id != keys.WHOLE_STORE:
            self.bring_in_line(account_id, store_id, file_id, words_only=words_only)
        self.blobs.delete(keys.change_key(account_id, store_id, file_id))

    def drop(self, account_id: str, store_id: str) -> None:
        """The index and the attachments of a vector store that was deleted."""
        for left in list(self.stores.attachments(account_id, store_id)):
            self.stores.detach(account_id, store_id, left.file_id)
            self.waiting.settled(account_id, store_id, left.file_id)
        for key in list(self.blobs.keys(keys.batch_key(account_id, store_id))):
            self.blobs.delete(key)
        self.indexes.drop(account_id, store_id)
        self.waiting.settled(account_id, store_id, keys.WHOLE_STORE)

    def bring_in_line(
        self, account_id: str, store_id: str, file_id: str, *, again: bool = False, words_only: bool = False
    ) -> None:
        """Index as the row says; then look whether it still says so: another may have done the opposite meanwhile.

        `again`: also what the row says was done.
        """
        attachment = self.stores.attachment(account_id, store_id, file_id)
        if attachment is not None and attachment.status != "in_progress" and not again:
            return
        for _ in range(ROUNDS):
            if attachment is None or attachment.status == "cancelled":
                self.indexes.remove(account_id, store_id, file_id)
                attachment = self.stores.attachment(account_id, store_id, file_id)
                if attachment is None or attachment.status == "cancelled":
                    self.waiting.settled(account_id, store_id, file_id)
                    return
            elif self._index(attachment, words_only=words_only):
                return
            else:
                attachment = None
        raise Unavailable()  # it is attached and detached faster than this: later

    def stale(self, account_id: str, store_id: str) -> set[str]:
        """Files in the index without vectors of the current model; none where no vectors could be made now. Errors:
        ModelUnavailable, SearchUnavailable, StoreUnavailable."""
        model = self.embed.usable(account_id) if self.embed else None
        return self.indexes.without(account_id, store_id, model.id) if model else set()

    def _index(self, attachment: Attachment, *, words_only: bool = False) -> bool:
        """False when it was detached or cancelled meanwhile."""
        account_id, store_id, file_id = attachment.account_id, attachment.store_id, attachment.file_id
        file = self.files.get(account_id, file_id)
        try:
            if file is None:
                raise Unreadable("The file was deleted.")
            blocks = self._text.blocks(file)
            chunks = list(chunks_of(blocks))
            self._weigh(attachment, size := sum(map(_size_bytes, chunks)))
        except Unreadable as exc:
            self.indexes.remove(account_id, store_id, file_id)
            return self.stores.set_attachment(account_id, store_id, file_id, "failed", error=str(exc))
        try:
            made = None if words_only else self._embedded(attachment, file.filename, blocks, chunks)
        except InvalidModelRequest as exc:  # it would be refused again
            self.indexes.remove(account_id, store_id, file_id)
            reason = f"The embedding model refuses its text: {exc}"
            return self.stores.set_attachment(account_id, store_id, file_id, "failed", error=reason)
        self.indexes.replace(account_id, store_id, file_id, file.filename, *(made or (chunks, None)))
        done = self.stores.set_attachment(account_id, store_id, file_id, "completed", usage_bytes=size)
        if self.stores.get(account_id, store_id) is None:
            self.drop(account_id, store_id)
            return True
        return done

    def _embedded(
        self, attachment: Attachment, filename: str, blocks: Sequence[Block], chunks: Sequence[Chunk]
    ) -> tuple[list[Chunk], Vectors] | None:
        """By words the file can be found before it has vectors: while those of many passages are made, and while the
        model is away, until the event comes again. Errors: as `Embed.passages`."""
        if self.embed is None:
            return None
        account_id, store_id, file_id = attachment.account_id, attachment.store_id, attachment.file_id
        first = len(chunks) > WORDS_FIRST and attachment.status == "in_progress"
        if first:
            self.indexes.replace(account_id, store_id, file_id, filename, chunks)
        try:
            return self.embed.passages(account_id, file_id, blocks)
        except InvalidModelRequest:
            raise
        except SluiceError:
            if not first and attachment.status == "in_progress":
                self.indexes.replace(account_id, store_id, file_id, filename, chunks)
            raise

    def _weigh(self, attachment: Attachment, size: int) -> None:
        """Errors: Unreadable."""
        if size <= SMALL_BYTES:
            return
        others = self.stores.text_bytes(attachment.account_id) - attachment.usage_bytes
        if others + size > self.most_text_bytes:
            most = f"{self.most_text_bytes // MIB:,} MiB"
            raise Unreadable(f"Your vector stores hold {most} of text, the most they may hold. Remove files first.")


def _size_bytes(passage: Chunk) -> int:
    return len(passage.text.encode("utf-8", "replace"))
