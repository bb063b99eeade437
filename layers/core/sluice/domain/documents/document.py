"""Uploaded files, vector stores, and the passages that a search finds. Each belongs to one account."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.domain.documents.uploads import FILE, UPLOAD

MOST_VECTOR_STORES = 1_000  # an account's
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MOST_ATTACHMENTS = 20_000  # an account's, in all of its vector stores
MOST_UPLOADS, MOST_PARTS = 8, 1_000  # an account's live uploads; parts of one
UPLOAD_MS = HOUR_MS


class Unreadable(Exception):
    """No text can be extracted from a file. The message is for its owner."""


@dataclass(frozen=True)
class File:
    """One uploaded file. `status`: "uploaded", then "processed" or "error" (`status_detail` is the reason)."""

    account_id: str
    file_id: str
    filename: str
    purpose: str
    size_bytes: int
    sha256: str
    created_ms: int
    status: str = "uploaded"
    status_detail: str | None = None


@dataclass(frozen=True)
class Upload:
    """A file that arrives in parts. `status`: "pending", then "cancelled"; or "completing" once its parts were put
    together, then "completed". `size_bytes`: as its caller said. `sent_bytes`, `parts`: of everything that was sent."""

    account_id: str
    upload_id: str
    filename: str
    purpose: str
    size_bytes: int
    created_ms: int
    status: str = "pending"
    sent_bytes: int = 0
    parts: int = 0

    @property
    def file_id(self) -> str:
        """The file's that it becomes: the same, however often it is completed."""
        return FILE + self.upload_id.removeprefix(UPLOAD)

    @property
    def expires_ms(self) -> int:
        return self.created_ms + UPLOAD_MS

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "completing")

    def expired(self, now_ms: int) -> bool:
        return self.is_open and self.expires_ms <= now_ms


@dataclass(frozen=True)
class VectorStore:
    """`expires_days`: after its last use; None: it stays until it is deleted."""

    account_id: str
    store_id: str
    name: str
    created_ms: int
    last_active_ms: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_days: int | None = None

    @property
    def expires_ms(self) -> int | None:
        return None if self.expires_days is None else self.last_active_ms + self.expires_days * DAY_MS

    def expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms

    def use_counts(self, now_ms: int) -> bool:
        """Whether a use now is worth a write. Its expiry is exact to an hour, so that few searches write."""
        return self.expires_days is not None and now_ms - self.last_active_ms >= HOUR_MS


@dataclass(frozen=True)
class Attachment:
    """A file in a vector store. `status`: "in_progress", then "completed", "cancelled" or "failed" (`error`: why)."""

    account_id: str
    store_id: str
    file_id: str
    created_ms: int
    status: str = "in_progress"
    error: str | None = None
    usage_bytes: int = 0
    attributes: Mapping[str, str | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Passage:
    """A search result: one chunk of one file. Scores are comparable only within one search; higher is better."""

    store_id: str
    file_id: str
    filename: str
    position: int  # of the chunk in its file, from 0
    text: str
    score: float
    attributes: Mapping[str, str | float | bool] = field(default_factory=dict)
