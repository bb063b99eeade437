"""Interfaces for documents: tables, blobs, indexes, search."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from sluice.domain.documents.document import Attachment, File, Passage, Upload, VectorStore
    from sluice.domain.documents.nearness import Asked
    from sluice.domain.documents.passages import Chunk
    from sluice.domain.documents.vectors import Vectors


class FileStore(Protocol):
    """Uploaded files, and how many bytes each account holds. Every method may raise StoreUnavailable."""

    def put(self, file: File, limit_bytes: int | None) -> None:
        """Write the file and add its bytes to the account's count, in one transaction; once, if it is repeated.
        `limit_bytes`: None for a file that is written however full the account is. Errors: StorageFull."""

    def get(self, account_id: str, file_id: str) -> File | None: ...

    def page(self, account_id: str, *, limit: int, after_id: str | None, newest_first: bool = True) -> list[File]: ...

    def set_status(self, account_id: str, file_id: str, status: str, detail: str | None = None) -> bool:
        """→ False if the file does not exist."""

    def delete(self, account_id: str, file_id: str) -> bool:
        """Delete the file and subtract its bytes, once. → False if it did not exist."""

    def held_bytes(self, account_id: str) -> int: ...

    def erase_account(self, account_id: str, most: int) -> bool:
        """Delete at most `most` of the account's rows, vector stores included. → whether all are gone."""


class UploadStore(Protocol):
    """Files that arrive in parts. Every method may raise StoreUnavailable."""

    def known(self, account_id: str) -> tuple[int, list[Upload]]:
        """The number of the account's uploads so far, and those that are remembered."""

    def begin(self, upload: Upload, number: int, forgotten: Collection[str]) -> bool:
        """Remember one more, and these no longer. → False if there are not `number` any more."""

    def take_part(self, upload: Upload, size_bytes: int, most_bytes: int) -> bool:
        """Count a part. → False if the upload is not pending, or would have more than `most_bytes` or MOST_PARTS."""

    def change(self, upload: Upload, before: Collection[str], status: str) -> bool:
        """→ False if its status is none of `before`."""


class VectorStoreStore(Protocol):
    """Vector stores and their attachments. Every method may raise StoreUnavailable."""

    def put(self, store: VectorStore) -> None:
        """Errors: LimitReached. A store that is there already stays unchanged."""

    def update(self, store: VectorStore) -> None:
        """Errors: NotFound."""

    def used(self, account_id: str, store_id: str, now_ms: int) -> None:
        """It was active now. Does nothing to one that is gone."""

    def get(self, account_id: str, store_id: str) -> VectorStore | None: ...

    def page(self, account_id: str, *, limit: int, after_id: str | None) -> list[VectorStore]: ...

    def delete(self, account_id: str, store_id: str) -> bool:
        """Delete the store and its attachments, but not the files."""

    def attach(self, attachment: Attachment) -> Attachment:
        """→ the attachment as stored; an existing one stays unchanged. Errors: NotFound (no such store or file)."""

    def attachment(self, account_id: str, store_id: str, file_id: str) -> Attachment | None: ...

    def attachments(self, account_id: str, store_id: str) -> Iterator[Attachment]: ...

    def stores_with(self, account_id: str, file_id: str) -> list[str]: ...

    def set_attributes(self, account_id: str, store_id: str, file_id: str, attributes: Mapping[str, Any]) -> bool:
        """→ False if it is not attached."""

    def cancel(self, account_id: str, store_id: str, file_id: str) -> bool:
        """Index an attachment no more that waits for it. → False if it does not wait."""

    def attached(self, account_id: str, store_id: str, file_ids: Sequence[str]) -> dict[str, Attachment]:
        """The attachments of those of these files that are in the store now, by file id."""

    def text_bytes(self, account_id: str) -> int:
        """Of the text in all indexes of the account; a file counts in each of its vector stores."""

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
        """→ False if it was detached or cancelled in the meantime."""

    def detach(self, account_id: str, store_id: str, file_id: str) -> bool: ...


class Blobs(Protocol):
    """Bytes under keys `KIND/ACCOUNT/…`, in an S3 bucket or a folder. Puts of some kinds are events for `ingestion`."""

    def put(self, key: str, body: bytes, *, media_type: str = "application/octet-stream") -> None: ...

    def get(self, key: str) -> bytes | None: ...

    def draft(self) -> BinaryIO:
        """A file without a name, for what may be too large for the memory; it is gone when it is closed."""

    def put_file(self, key: str, file: BinaryIO) -> None:
        """All of a draft, in pieces."""

    def open(self, key: str) -> BinaryIO | None:
        """To read in pieces; its errors are its own. Close it."""

    def link(self, key: str, filename: str) -> str | None:
        """An address from which whoever has it can download the file for a minute. None where there is none."""

    def delete(self, key: str) -> None: ...

    def keys(self, prefix: str) -> Iterator[str]: ...


@dataclass(frozen=True)
class Pending:
    """Unfinished work of `ingestion`: on a file, an attachment, or the trace of a deleted one."""

    account_id: str
    item_id: str
    store_id: str  # "" for an upload
    file_id: str  # WHOLE_STORE for a deleted store
    gone: bool
    since_ms: int


class PendingDocuments(Protocol):
    """Work that waits for `ingestion`. The sweep reads it, because an event may be lost. May raise StoreUnavailable."""

    def waiting(self, before_ms: int, limit: int) -> list[Pending]:
        """Work that has waited since before `before_ms`, oldest first. It may lag behind the table."""

    def tried(self, pending: Pending, now_ms: int, by: int = 1) -> int:
        """Count one more try and let the work wait again. → the number of tries, or 0 if it no longer waits."""

    def settled(self, account_id: str, store_id: str, file_id: str) -> None:
        """Delete the trace of a deleted item, because all of its data is deleted. `store_id`: "" for a file."""


@dataclass(frozen=True)
class PassageQuery:
    """`limit`: the most passages to return. `near`: the text's vector, to search also by meaning. `floored`: only what
    is about the question; else the nearest. `strict`: nothing, unless something found stands out (ADR 115). `file_ids`:
    only of these files, None for all."""

    text: str
    limit: int
    near: Asked | None = None
    floored: bool = True
    strict: bool = False
    file_ids: Collection[str] | None = None


class Indexes(Protocol):
    """The indexes, one for each vector store. Errors: SearchUnavailable, StoreUnavailable."""

    def replace(
        self,
        account_id: str,
        store_id: str,
        file_id: str,
        filename: str,
        chunks: Sequence[Chunk],
        vectors: Vectors | None = None,
    ) -> None:
        """Replace the file's passages in this store."""

    def remove(self, account_id: str, store_id: str, file_id: str) -> None: ...

    def drop(self, account_id: str, store_id: str) -> None: ...

    def files(self, account_id: str, store_id: str) -> set[str]:
        """Ids of the files in the index, to compare with the rows. Empty if there is no index."""

    def without(self, account_id: str, store_id: str, model: str) -> set[str]:
        """Ids of those of them that have no vectors of this model."""

    def find(self, account_id: str, store_id: str, query: PassageQuery) -> list[Passage]:
        """Best first; empty if there is no index yet."""


@dataclass(frozen=True)
class SearchRequest:
    """`top_k`: the most passages to return. The others: see `PassageQuery`."""

    account_id: str
    store_ids: Sequence[str]
    query: str
    top_k: int
    floored: bool = True
    strict: bool = False
    file_ids: Collection[str] | None = None


class Search(Protocol):
    """The search that the gateway and the pages use, local or in `functions/search`."""

    def search(self, request: SearchRequest) -> list[Passage]:
        """Best first, at most `top_k`, only from the account's stores. Errors: SearchUnavailable."""
