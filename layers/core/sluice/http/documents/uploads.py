"""`/v1/uploads`: OpenAI's Uploads API, its forms and its four calls (ADR 128)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sluice import settings
from sluice.domain.documents.document import MOST_PARTS, Upload
from sluice.domain.documents.document import File as StoredFile
from sluice.domain.documents.uploads import MAX_FILE_BYTES, MIB
from sluice.domain.errors import RequestTooLarge
from sluice.http.documents import files as flow
from sluice.http.documents.answers import FileObject
from sluice.http.documents.requests import PURPOSES, Id
from sluice.http.fields import Integer, Loose
from sluice.http.lazy_model import BaseModel
from sluice.wiring.documents import uploads
from sluice.wiring.gateway import gateway


class CreateUploadBody(Loose):
    bytes: Annotated[Integer, Field(ge=1)] = Field(description="of the whole file")
    filename: Annotated[str, Field(max_length=1024)]
    mime_type: Annotated[str, Field(max_length=255)] = Field(description="not read")
    purpose: Literal[PURPOSES]  # type: ignore[valid-type]
    expires_after: None = Field(None, description="not supported: files stay until they are deleted")


class PartForm(BaseModel):
    """`multipart/form-data`."""

    media_type: ClassVar[str] = "multipart/form-data"

    data: Annotated[str, Field(json_schema_extra={"format": "binary", "contentMediaType": "application/octet-stream"})]


class CompleteUploadBody(Loose):
    part_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_PARTS, fail_fast=True)]
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = Field(None, description="of the whole file")


class PartObject(BaseModel):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int = Field(description="Unix seconds")
    upload_id: str


class UploadObject(BaseModel):
    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int = Field(description="Unix seconds, as all `…_at`")
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None = Field(description="with `completed`")

    @classmethod
    def of(cls, upload: Upload, file: StoredFile | None = None) -> "UploadObject":
        return cls.like(
            upload,
            id=upload.upload_id,
            bytes=upload.size_bytes,
            created_at=upload.created_ms // 1000,
            expires_at=upload.expires_ms // 1000,
            file=file and FileObject.of(file),
        )


def begin() -> UploadObject:
    """It counts as a request a minute, as a part does. Errors: as `Gateway.charge_request` and `Uploads.begin`."""
    claims, body = flow.claims_and_body(CreateUploadBody)
    gateway().charge_request(claims)
    told = (claims.account_id, body.filename, body.purpose, body.bytes, flow.now_ms())
    return UploadObject.of(uploads().begin(*told))


def add_part(upload_id: str) -> PartObject:
    """Errors: as `Gateway.charge_request` and `Uploads.add_part`, RequestTooLarge."""
    claims = flow.claims()
    with gateway().form_counted(claims):
        try:
            flow.read_form("data")
            body = flow.draft_of(flow.sent_file("data"))
        except RequestTooLarge as exc:
            raise RequestTooLarge(_too_large()) from exc
    with flow.closing_draft(body):
        gateway().charge_request(claims)
        now_ms = flow.now_ms()
        part_id = uploads().add_part(claims.account_id, upload_id, body, now_ms)
    return PartObject(id=part_id, created_at=now_ms // 1000, upload_id=upload_id)


def _too_large() -> str:
    return (
        f"A part may have {settings.documents().batch_file_mb} MiB on one machine, with a Content-Length, and "
        f"{MAX_FILE_BYTES // MIB} MiB elsewhere. Send smaller ones: part_size of OpenAI's SDKs."
    )


def complete(upload_id: str) -> UploadObject:
    """One ledger record, as of any file. Errors: as `admitted` and `Uploads.complete`."""
    claims, body = flow.claims_and_body(CompleteUploadBody)
    with flow.admitted(claims, "files") as account_id:
        return UploadObject.of(*uploads().complete(account_id, upload_id, body.part_ids, body.md5, flow.now_ms()))


def cancel(upload_id: str) -> UploadObject:
    return UploadObject.of(uploads().cancel(flow.account(), upload_id, flow.now_ms()))
