"""Answers of `/v1/vector_stores…`: OpenAI's objects."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from sluice.domain.documents.document import Attachment, Passage, VectorStore
from sluice.http.documents.answers import Deleted, Listing
from sluice.http.documents.requests import ExpiresAfter
from sluice.http.lazy_model import BaseModel
from sluice.services.documents.vector_stores import Batch


class VectorStoreDeleted(Deleted):
    object: Literal["vector_store.deleted"] = "vector_store.deleted"


class VectorStoreFileDeleted(Deleted):
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"


class FileCounts(BaseModel):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int

    @classmethod
    def of(cls, attachments: Sequence[Attachment]) -> "FileCounts":
        by_status = Counter(one.status for one in attachments)
        return cls(
            in_progress=by_status["in_progress"],
            completed=by_status["completed"],
            failed=by_status["failed"],
            cancelled=by_status["cancelled"],
            total=len(attachments),
        )

    @property
    def status(self) -> Literal["in_progress", "completed"]:
        return "in_progress" if self.in_progress else "completed"


class VectorStoreObject(BaseModel):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int = Field(description="Unix seconds")
    last_active_at: int = Field(description="Unix seconds")
    name: str
    status: Literal["in_progress", "completed", "expired"] = Field(
        description="`expired`: it cannot be used any more, and is deleted within a day"
    )
    usage_bytes: int = Field(description="bytes of its files' text")
    file_counts: FileCounts
    metadata: dict[str, str]
    expires_after: ExpiresAfter | None
    expires_at: int | None = Field(description="Unix seconds")

    @classmethod
    def of(cls, store: VectorStore, attachments: Sequence[Attachment], now_ms: int) -> "VectorStoreObject":
        counts, days = FileCounts.of(attachments), store.expires_days
        return cls.like(
            store,
            id=store.store_id,
            created_at=store.created_ms // 1000,
            last_active_at=store.last_active_ms // 1000,
            status="expired" if store.expired(now_ms) else counts.status,
            expires_after=None if days is None else ExpiresAfter(anchor="last_active_at", days=days),
            expires_at=None if store.expires_ms is None else store.expires_ms // 1000,
            usage_bytes=sum(one.usage_bytes for one in attachments),
            file_counts=counts,
        )


class VectorStoreListing(Listing):
    data: list[VectorStoreObject]


class LastError(BaseModel):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFileObject(BaseModel):
    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int = Field(description="Unix seconds")
    vector_store_id: str
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    last_error: LastError | None
    usage_bytes: int
    attributes: dict[str, bool | float | str]

    @classmethod
    def of(cls, attachment: Attachment) -> "VectorStoreFileObject":
        failed = attachment.error if attachment.status == "failed" else None
        return cls.like(
            attachment,
            id=attachment.file_id,
            created_at=attachment.created_ms // 1000,
            vector_store_id=attachment.store_id,
            last_error=LastError(code="invalid_file", message=failed) if failed else None,
        )


class VectorStoreFileListing(Listing):
    data: list[VectorStoreFileObject]


class FileBatchObject(BaseModel):
    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int = Field(description="Unix seconds")
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled"]
    file_counts: FileCounts

    @classmethod
    def of(cls, batch: Batch) -> "FileBatchObject":
        counts = FileCounts.of(batch.attachments)
        return cls(
            id=batch.batch_id,
            created_at=batch.created_ms // 1000,
            vector_store_id=batch.store_id,
            status="cancelled" if counts.cancelled else counts.status,
            file_counts=counts,
        )


class FoundText(BaseModel):
    type: Literal["text"] = "text"
    text: str


class FoundPassage(BaseModel):
    file_id: str
    filename: str
    score: float = Field(description="from 0 (unrelated) to 1")
    attributes: dict[str, bool | float | str]
    content: list[FoundText]

    @classmethod
    def of(cls, passage: Passage) -> "FoundPassage":
        return cls.like(passage, content=[FoundText(text=passage.text)])


class SearchPage(BaseModel):
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[FoundPassage]
    has_more: Literal[False] = False
    next_page: None = None


PAGE_CHARACTERS = 400_000  # because an answer of AWS Lambda may have 6 MB, and a character six bytes in JSON


class FileContentPage(BaseModel):
    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[FoundText]
    has_more: bool
    next_page: str | None = Field(description="the query `page` of the next part of a long text")

    @classmethod
    def of(cls, text: str, page: int) -> "FileContentPage":
        part = text[page * PAGE_CHARACTERS : (page + 1) * PAGE_CHARACTERS]
        more = len(text) > (page + 1) * PAGE_CHARACTERS
        return cls(
            data=[FoundText(text=part)] if part else [], has_more=more, next_page=str(page + 1) if more else None
        )
