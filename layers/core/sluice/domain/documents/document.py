"""Files that people upload, the vector stores they search, the passages a search finds. All belong to one account."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class Unreadable(Exception):
    """No text can be read out of a file. The message is for its owner."""


@dataclass(frozen=True)
class File:
    """One uploaded file. `status`: "uploaded", then "processed" or "error" (`status_detail` tells its owner why)."""

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
class VectorStore:
    account_id: str
    store_id: str
    name: str
    created_ms: int
    last_active_ms: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attachment:
    """A file in a vector store. `status`: "in_progress", then "completed" or "failed" (`error` says why)."""

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
    """What a search found: one chunk of one file. Scores compare within one search only; higher is better."""

    store_id: str
    file_id: str
    filename: str
    position: int  # of the chunk in its file, from 0
    text: str
    score: float
    attributes: Mapping[str, str | float | bool] = field(default_factory=dict)
