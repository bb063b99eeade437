"""Erase an account's uploads and everything derived from them."""

from dataclasses import dataclass
from itertools import chain, islice

from sluice.domain.documents.keys import KINDS, account_prefix
from sluice.ports.documents import Blobs, FileStore


@dataclass(frozen=True)
class EraseDocuments:
    """Errors: StoreUnavailable; the call can be repeated until it succeeds."""

    files: FileStore
    blobs: Blobs

    def erase_account(self, account_id: str, most: int) -> bool:
        """Delete at most `most` rows, and once there are none, at most `most` blobs. → whether all are gone.

        The rows go first, so that `ingestion` finds no more work and no search shows a passage. The sweeper repeats
        this a minute later and erases what `ingestion` was writing at that moment.
        """
        if not self.files.erase_account(account_id, most):
            return False
        found = (self.blobs.keys(account_prefix(kind, account_id)) for kind in KINDS)
        some = list(islice(chain.from_iterable(found), most))
        for key in some:
            self.blobs.delete(key)
        return len(some) < most
