"""All that an account ever uploaded, and what was made of it."""

from dataclasses import dataclass

from sluice.domain.documents.keys import KINDS, account_prefix
from sluice.ports.documents import Blobs, FileStore


@dataclass(frozen=True)
class EraseDocuments:
    """Errors: StoreUnavailable, after which asking again goes on."""

    files: FileStore
    blobs: Blobs

    def erase_account(self, account_id: str) -> None:
        """The rows first: from then on `ingestion` finds nothing to do, and no search shows anything.

        What it was writing at that moment the second look of the sweeper erases, a minute later.
        """
        self.files.erase_account(account_id)
        for kind in KINDS:
            for key in list(self.blobs.keys(account_prefix(kind, account_id))):
                self.blobs.delete(key)
