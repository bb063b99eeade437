"""Erase an account's uploads and everything derived from them."""

from dataclasses import dataclass

from sluice.domain.documents.keys import KINDS, account_prefix
from sluice.ports.documents import Blobs, FileStore


@dataclass(frozen=True)
class EraseDocuments:
    """Errors: StoreUnavailable; the call can be repeated until it succeeds."""

    files: FileStore
    blobs: Blobs

    def erase_account(self, account_id: str) -> None:
        """Delete the rows first, so that `ingestion` finds no more work and no search shows a passage.

        The sweeper repeats this a minute later and erases what `ingestion` was writing at that moment.
        """
        self.files.erase_account(account_id)
        for kind in KINDS:
            for key in list(self.blobs.keys(account_prefix(kind, account_id))):
                self.blobs.delete(key)
