"""The sweep of documents: work whose event was lost is done again, and each index is compared with its rows."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

from sluice.domain.documents import keys
from sluice.domain.documents.document import HOUR_MS
from sluice.domain.errors import ModelUnavailable, SluiceError, Unavailable
from sluice.ports.documents import Pending
from sluice.services.documents.ingest import Ingestion
from sluice.services.documents.renewal import Renewal

log = logging.getLogger("sluice.ingestion")

STUCK_MS = 5 * 60_000
"""Longer than any file takes: work that has waited since then has lost its event or its process."""
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
    renewed: int = 0


@dataclass(frozen=True)
class DocumentSweeper:
    ingestion: Ingestion
    renewal: Renewal | None = None

    def sweep(self, now_ms: int, stop: Callable[[], bool] = lambda: False) -> SweptDocuments:
        """Repeat the work of rows that have waited too long; mark those that were tried too often as failed.

        `stop`: whether to end now. An item that fails is counted and logged, and does not end the sweep. Errors:
        Unavailable, where the pending rows cannot be read.
        """
        seen = given_up = failed = 0
        for pending in self.ingestion.waiting.waiting(now_ms - STUCK_MS, SWEPT_AT_ONCE):
            if stop():
                break
            tries = self.ingestion.waiting.tried(pending, now_ms)
            seen += bool(tries)
            try:
                if tries > MOST_TRIES and not pending.gone:
                    self._give_up(pending)
                    given_up += 1
                elif tries:
                    self._again(pending, words_only=tries == MOST_TRIES)
            except ModelUnavailable:  # its last try is by words only
                log.warning("no vectors now", extra={"account_id": pending.account_id, "file_id": pending.file_id})
                failed += 1
            except Unavailable:  # an outage is no fault of the file, so this try does not count
                log.warning("not swept now", extra={"account_id": pending.account_id, "file_id": pending.file_id})
                with suppress(Unavailable):
                    self.ingestion.waiting.tried(pending, now_ms, by=-1)
                failed += 1
            except Exception:
                log.exception("not swept", extra={"account_id": pending.account_id, "file_id": pending.file_id})
                failed += 1
        mended = self._compare(now_ms, stop)
        looks = now_ms // MINUTE_MS % 60 < COMPARED_MINUTES
        renewed = self.renewal.go_on(stop, look=looks) if self.renewal else 0
        return SweptDocuments(seen, given_up, failed, mended, renewed)

    def _compare(self, now_ms: int, stop: Callable[[], bool]) -> int:
        """Compare each index with its rows about once a day, in the hour that its store's id gives. Returns how many
        files were mended."""
        hour, minute = divmod(now_ms // MINUTE_MS, 60)
        if minute >= COMPARED_MINUTES:
            return 0
        mended = 0
        for account_id, store_id in filter(None, map(keys.store_of_index, self.ingestion.blobs.keys(f"{keys.INDEX}/"))):
            if stop():
                break
            if crc32(store_id.encode()) % 24 == hour % 24:
                try:
                    mended += self._mend(account_id, store_id, now_ms)
                except SluiceError:  # it is compared again tomorrow
                    log.warning("not compared", extra={"account_id": account_id, "store_id": store_id}, exc_info=True)
        return mended

    def _mend(self, account_id: str, store_id: str, now_ms: int) -> int:
        """An index holds the completed files of its store and no others; what is in progress has its own event. A store
        that expired an hour ago is deleted: the clocks of those who use it may be late."""
        store = self.ingestion.stores.get(account_id, store_id)
        if store is not None and store.expired(now_ms - HOUR_MS):
            self.ingestion.stores.delete(account_id, store_id)
            store = None
        if store is None:
            self.ingestion.drop(account_id, store_id)
            return 1
        held = self.ingestion.indexes.files(account_id, store_id)
        rows = {one.file_id: one.status for one in self.ingestion.stores.attachments(account_id, store_id)}
        right = {file_id for file_id, status in rows.items() if status == "completed"}
        stale = self.ingestion.stale(account_id, store_id) & right
        wrong = [file_id for file_id in (held ^ right) | stale if rows.get(file_id) != "in_progress"]
        for file_id in wrong:
            words = "has no vectors" if file_id in stale else "disagreed with the rows"
            log.warning("the index %s", words, extra={"store_id": store_id, "file_id": file_id})
            self.ingestion.bring_in_line(account_id, store_id, file_id, again=True)
        return len(wrong)

    def _again(self, pending: Pending, *, words_only: bool) -> None:
        if pending.store_id:
            place = (pending.account_id, pending.store_id, pending.file_id)
            self.ingestion.changed(*place, words_only=words_only)
        else:
            self.ingestion.uploaded(pending.account_id, pending.file_id)

    def _give_up(self, pending: Pending) -> None:
        account_id, store_id, file_id = pending.account_id, pending.store_id, pending.file_id
        if store_id:
            self.ingestion.stores.set_attachment(account_id, store_id, file_id, "failed", error=NOT_PROCESSED)
        else:
            self.ingestion.files.set_status(account_id, file_id, "error", NOT_PROCESSED)
