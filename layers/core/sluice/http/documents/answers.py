"""Answers of `/v1/files…`: OpenAI's objects, and the form of all lists."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from sluice.domain.documents.document import File
from sluice.http.lazy_model import BaseModel


class FileObject(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int = Field(description="Unix seconds")
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None = Field(description="with `error`: why the file could not be read")
    expires_at: None = None

    @classmethod
    def of(cls, file: File) -> "FileObject":
        created = file.created_ms // 1000
        return cls.like(
            file, id=file.file_id, bytes=file.size_bytes, created_at=created, status_details=file.status_detail
        )


class Deleted(BaseModel):
    id: str
    deleted: Literal[True] = True


class FileDeleted(Deleted):
    object: Literal["file"] = "file"


class Listing(BaseModel):
    object: Literal["list"] = "list"
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool


def listed(data: Sequence[Any], has_more: bool) -> dict[str, Any]:
    """The fields of a `Listing` of `data`."""
    ends = {"first_id": data[0].id, "last_id": data[-1].id} if data else {}
    return {"data": list(data), "has_more": has_more, **ends}


class FileListing(Listing):
    data: list[FileObject]
