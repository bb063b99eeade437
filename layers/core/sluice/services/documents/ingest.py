"""From an upload to its text, from its text to the passages of every vector store it is in, and out of them again.

    upload ── event ──▶ text read, kept, file "processed" or "error"
    attach ┐
    detach ┼─ event ──▶ what do the rows say by now? ─▶ index holds the file, or does not ─▶ do they still say so?
    delete ┘
No event is an order: each only says where to look, so it may come twice, late, or beside another of the same file.
Whatever ends half-way comes again; what was lost, the sweep finds by the index of what waits.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

from sluice.domain.documents import keys
from sluice.domain.documents.document import Attachment, File, Unreadable
from sluice.domain.documents.passages import Block, Cut, cut
from sluice.domain.errors import SluiceError, Unavailable
from sluice.ports.documents import Blobs, FileStore, Indexes, Pending, PendingDocuments, VectorStoreStore
from sluice.services.documents.embed import Embed
from sluice.services.documents.file_text import FileText

log = logging.getLogger("sluice.ingestion")

ROUNDS = 5
STUCK_MS = 5 * 60_000
"""Nothing takes so long: what waits since then has lost its event, or the process that had it."""
MOST_TRIES = 4
SWEPT_AT_ONCE = 100
MINUTE_MS = 60_000
COMPARED_MINUTES = 5
"""At the beginning of each hour, as long as the longest pause between two sweeps. Listing indexes costs money on S3."""
NOT_PROCESSED = "The file could not be processed."


@dataclass(frozen=True)
class SweptDocuments:
    seen: int = 0
    given_up: int = 0
    failed: int = 0
    mended: int = 0


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

    def changed(self, account_id: str, store_id: str, file_id: str) -> None:
        if self.stores.get(account_id, store_id) is None:
            self._drop(account_id, store_id)
            self.waiting.settled(account_id, store_id, file_id)
        elif file_id != keys.WHOLE_STORE:
            self._bring_in_line(account_id, store_id, file_id)
        self.blobs.delete(keys.change_key(account_id, store_id, file_id))

    def _drop(self, account_id: str, store_id: str) -> None:
        for left in list(self.stores.attachments(account_id, store_id)):
            self.stores.detach(account_id, store_id, left.file_id)
            self.waiting.settled(account_id, store_id, left.file_id)
        self.indexes.drop(account_id, store_id)
        self.waiting.settled(account_id, store_id, keys.WHOLE_STORE)

    def _bring_in_line(self, account_id: str, store_id: str, file_id: str, *, again: bool = False) -> None:
        """Index as the row says; then look whether it still says so: another may have done the opposite meanwhile.

        `again`: also what the row says was done.
        """
        attachment = self.stores.attachment(account_id, store_id, file_id)
        if attachment is not None and attachment.status != "in_progress" and not again:
            return
        for _ in range(ROUNDS):
            if attachment is None:
                self.indexes.remove(account_id, store_id, file_id)
                attachment = self.stores.attachment(account_id, store_id, file_id)
                if attachment is None:
                    self.waiting.settled(account_id, store_id, file_id)
                    return
            elif self._index(attachment):
                return
            else:
                attachment = None
        raise Unavailable()  # it is attached and detached faster than this: later

    def _index(self, attachment: Attachment) -> bool:
        """False when it was detached meanwhile."""
        account_id, store_id, file_id = attachment.account_id, attachment.store_id, attachment.file_id
        file = self.files.get(account_id, file_id)
        try:
            if file is None:
                raise Unreadable("The file was deleted.")
            cuts = list(cut(self._text.blocks(file)))
        except Unreadable as exc:
            self.indexes.remove(account_id, store_id, file_id)
            return self.stores.set_attachment(account_id, store_id, file_id, "failed", error=str(exc))
        try:
            vectors = self.embed.passages(account_id, file_id, [_whole(one) for one in cuts]) if self.embed else None
        except SluiceError:  # the model is away: by words it can be found all the same, until the event comes again
            self.indexes.replace(account_id, store_id, file_id, file.filename, cuts)
            raise
        self.indexes.replace(account_id, store_id, file_id, file.filename, cuts, vectors)
        done = self.stores.set_attachment(
            account_id, store_id, file_id, "completed", usage_bytes=sum(map(_size_bytes, cuts))
        )
        if self.stores.get(account_id, store_id) is None:
            self._drop(account_id, store_id)
            return True
        return done

    # --- what no event brings any more

    def sweep(self, now_ms: int, stop: Callable[[], bool] = lambda: False) -> SweptDocuments:
        """What has waited too long, once more; what was tried too often has failed, and says so."""
        seen = given_up = failed = 0
        for pending in self.waiting.waiting(now_ms - STUCK_MS, SWEPT_AT_ONCE):
            if stop():
                break
            tries = self.waiting.tried(pending, now_ms)
            seen += bool(tries)
            try:
                if tries > MOST_TRIES and not pending.gone:
                    self._give_up(pending)
                    given_up += 1
                elif tries:
                    self._again(pending)
            except Unavailable:  # an outage is no fault of the file, so this try does not count
                log.warning("not swept now", extra={"account_id": pending.account_id, "file_id": pending.file_id})
                with suppress(Unavailable):
                    self.waiting.tried(pending, now_ms, by=-1)
                failed += 1
            except Exception:
                log.exception("not swept", extra={"account_id": pending.account_id, "file_id": pending.file_id})
                failed += 1
        return SweptDocuments(seen, given_up, failed, self._compare(now_ms, stop))

    def _compare(self, now_ms: int, stop: Callable[[], bool]) -> int:
        """Each index with its rows about once a day, by the hour of its store's id → how many files were mended."""
        hour, minute = divmod(now_ms // MINUTE_MS, 60)
        if minute >= COMPARED_MINUTES:
            return 0
        mended = 0
        for account_id, store_id in filter(None, map(keys.store_of_index, self.blobs.keys(f"{keys.INDEX}/"))):
            if stop():
                break
            if crc32(store_id.encode()) % 24 == hour % 24:
                try:
                    mended += self._mend(account_id, store_id)
                except SluiceError:  # it is compared again tomorrow
                    log.warning("not compared", extra={"account_id": account_id, "store_id": store_id}, exc_info=True)
        return mended

    def _mend(self, account_id: str, store_id: str) -> int:
        """An index holds the completed files of its store and no others; what is in progress has its own event."""
        if self.stores.get(account_id, store_id) is None:
            self._drop(account_id, store_id)
            return 1
        held = self.indexes.files(account_id, store_id)
        rows = {one.file_id: one.status for one in self.stores.attachments(account_id, store_id)}
        right = {file_id for file_id, status in rows.items() if status == "completed"}
        wrong = [file_id for file_id in held ^ right if rows.get(file_id) != "in_progress"]
        for file_id in wrong:
            log.warning("the index disagreed with the rows", extra={"store_id": store_id, "file_id": file_id})
            self._bring_in_line(account_id, store_id, file_id, again=True)
        return len(wrong)

    def _again(self, pending: Pending) -> None:
        if pending.store_id:
            self.changed(pending.account_id, pending.store_id, pending.file_id)
        else:
            self.uploaded(pending.account_id, pending.file_id)

    def _give_up(self, pending: Pending) -> None:
        account_id, store_id, file_id = pending.account_id, pending.store_id, pending.file_id
        if store_id:
            self.stores.set_attachment(account_id, store_id, file_id, "failed", error=NOT_PROCESSED)
        else:
            self.files.set_status(account_id, file_id, "error", NOT_PROCESSED)


def _whole(passage: Cut) -> str:
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text


def _size_bytes(passage: Cut) -> int:
    return len(passage.text.encode("utf-8", "replace"))
