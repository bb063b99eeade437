"""What the services of documents need: tables, bytes, indexes, a search."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.domain.documents.document import Attachment, File, Passage, VectorStore
from sluice.domain.documents.passages import Chunk


class FileStore(Protocol):
    """What is known of uploaded files, and how many bytes each account holds. Every method: StoreUnavailable."""

    def put(self, file: File, limit_bytes: int) -> None:
        """The file and its bytes on the account's count, in one transaction. Errors: StorageFull."""

    def get(self, account_id: str, file_id: str) -> File | None: ...

    def page(self, account_id: str, *, limit: int, after_id: str | None, newest_first: bool = True) -> list[File]: ...

    def set_status(self, account_id: str, file_id: str, status: str, detail: str | None = None) -> bool:
        """False when the file is gone."""

    def delete(self, account_id: str, file_id: str) -> bool:
        """The file, and its bytes off the count, once. False when it was gone."""

    def held_bytes(self, account_id: str) -> int: ...

    def erase_account(self, account_id: str) -> None: ...


class VectorStoreStore(Protocol):
    """Vector stores and which files are in them. Every method may raise StoreUnavailable."""

    def put(self, store: VectorStore) -> None: ...

    def get(self, account_id: str, store_id: str) -> VectorStore | None: ...

    def page(self, account_id: str, *, limit: int, after_id: str | None) -> list[VectorStore]: ...

    def delete(self, account_id: str, store_id: str) -> bool:
        """The store and its attachments, not the files."""

    def attach(self, attachment: Attachment) -> Attachment:
        """As put; one that is there already is answered as it is. Errors: NotFound (the store or the file is gone)."""

    def attachment(self, account_id: str, store_id: str, file_id: str) -> Attachment | None: ...

    def attachments(self, account_id: str, store_id: str) -> Iterator[Attachment]: ...

    def stores_with(self, account_id: str, file_id: str) -> list[str]: ...

    def attached(self, account_id: str, store_id: str, file_ids: Sequence[str]) -> dict[str, Attachment]:
        """Of these files (100 at most) those that are in the store now, by id."""

    def set_attachment(
        self,
        account_id: str,
        store_id: str,
        file_id: str,
        status: str,
        *,
        error: str | None = None,
        usage_bytes: int = 0,
    ) -> bool:
        """False when it was detached meanwhile."""

    def detach(self, account_id: str, store_id: str, file_id: str) -> bool: ...


class Blobs(Protocol):
    """Bytes under keys `KIND/ACCOUNT/…`: an S3 bucket, or a folder. A put of some kinds is an event for `ingestion`."""

    def put(self, key: str, body: bytes, *, media_type: str = "application/octet-stream") -> None: ...

    def get(self, key: str) -> bytes | None: ...

    def delete(self, key: str) -> None: ...

    def keys(self, prefix: str) -> Iterator[str]: ...


@dataclass(frozen=True)
class Pending:
    """Work that `ingestion` has not done yet: on a file, an attachment, or the trace of one that is gone."""

    account_id: str
    item_id: str
    store_id: str  # "" for an upload
    file_id: str  # WHOLE_STORE for a store that was deleted
    gone: bool
    since_ms: int


class PendingDocuments(Protocol):
    """What waits for `ingestion`: the sweep reads it, because an event may be lost. May raise StoreUnavailable."""

    def waiting(self, before_ms: int, limit: int) -> list[Pending]:
        """Those that have waited since before then, oldest first. It may lag."""

    def tried(self, pending: Pending, now_ms: int, by: int = 1) -> int:
        """Counts one more try and lets it wait again. → the number of tries, 0 when it waits no more."""

    def settled(self, account_id: str, store_id: str, file_id: str) -> None:
        """The trace of what is gone may go, too: nothing of it is left. `store_id` "" for a file's."""


class Indexes(Protocol):
    """The indexes, one a vector store. Errors: SearchUnavailable, StoreUnavailable."""

    def replace(
        self,
        account_id: str,
        store_id: str,
        file_id: str,
        filename: str,
        chunks: Sequence[Chunk],
        vectors: Sequence[bytes] | None = None,
    ) -> None:
        """The file's passages in this store are these and no others. `vectors`: one a passage (`domain.vectors`)."""

    def remove(self, account_id: str, store_id: str, file_id: str) -> None: ...

    def drop(self, account_id: str, store_id: str) -> None: ...

    def files(self, account_id: str, store_id: str) -> set[str]:
        """Ids of the files it holds, for comparing it with the rows. Empty where there is no index."""

    def find(
        self, account_id: str, store_id: str, query: str, limit: int, vector: bytes | None = None
    ) -> list[Passage]:
        """Best first; nothing where there is no index yet. With the query's vector, by meaning, too."""


@dataclass(frozen=True)
class SearchRequest:
    """`top_k`: passages at most."""

    account_id: str
    store_ids: Sequence[str]
    query: str
    top_k: int


class Search(Protocol):
    """`functions/search`, as the gateway and the pages call it."""

    def search(self, request: SearchRequest) -> list[Passage]:
        """Best first, at most `top_k`, of that account's stores only. Errors: SearchUnavailable."""
