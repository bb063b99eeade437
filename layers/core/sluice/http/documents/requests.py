"""Requests of `/v1/files…` and `/v1/vector_stores…`, as the official SDKs send them.

Unknown fields are ignored, except `expires_after` of a file: it is refused, because a caller would rely on it."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from sluice.domain.documents.retrieval import QUERY_CHARACTERS, SearchOptions
from sluice.domain.documents.uploads import MAX_ATTRIBUTES
from sluice.http.fields import Filtered, Flag, Integer, Key, Loose, Number, PageQuery, Value
from sluice.http.lazy_model import BaseModel
from sluice.services.documents.vector_stores import PageOfAttachments

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MAX_FILES_AT_ONCE = 100
MAX_QUERIES = 10
Id = Annotated[str, Field(max_length=64)]
Metadata = Annotated[dict[Key, Value], Field(max_length=MAX_ATTRIBUTES)]
Attributes = Annotated[dict[Key, Flag | Number | Value], Field(max_length=MAX_ATTRIBUTES)]


class UploadForm(BaseModel):
    """`multipart/form-data`. At most 4 MiB."""

    media_type: ClassVar[str] = "multipart/form-data"

    file: Annotated[str, Field(json_schema_extra={"format": "binary", "contentMediaType": "application/octet-stream"})]
    purpose: Literal[PURPOSES] = Field(description="`assistants` or `user_data` for documents to be searched")  # type: ignore[valid-type]


class Purpose(Loose):
    """The form's other field."""

    purpose: Literal[PURPOSES]  # type: ignore[valid-type]
    expires_after: None = Field(None, description="not supported: files stay until they are deleted")


class FilesQuery(PageQuery):
    limit: int = Field(1000, ge=1, le=10_000)
    purpose: Annotated[str, Field(max_length=64)] | None = None


class AttachmentsQuery(PageQuery):
    before: Id | None = Field(None, description="the first id of the next page")
    filter: Literal["in_progress", "completed", "failed", "cancelled"] | None = None

    def page(self) -> PageOfAttachments:
        return PageOfAttachments(self.limit, self.after, self.before, self.order == "desc", self.filter)


class ExpiresAfter(Loose):
    anchor: Literal["last_active_at"]
    days: Annotated[Integer, Field(ge=1, le=365)]


class CreateStoreBody(Loose):
    name: str | None = Field(None, max_length=256)
    file_ids: Annotated[list[Id], Field(fail_fast=True)] | None = Field(None, max_length=MAX_FILES_AT_ONCE)
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None

    @property
    def expires_days(self) -> int | None:
        return self.expires_after.days if self.expires_after else None


class UpdateStoreBody(Loose):
    """Omitted fields stay unchanged, and so does what is null, except that `expires_after: null` ends the expiry."""

    name: str | None = Field(None, max_length=256)
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None

    def changes(self) -> dict[str, Any]:
        changes = self.model_dump(include={"name", "metadata"}, exclude_none=True)
        if "expires_after" in self.model_fields_set:
            changes["expires_days"] = self.expires_after.days if self.expires_after else None
        return changes


class AttachBody(Loose):
    file_id: Id
    attributes: Attributes | None = None


class AttributesBody(Loose):
    attributes: Attributes = Field(description="in place of the ones that the file has")


class ContentQuery(BaseModel):
    page: int = Field(0, ge=0, le=10_000)


class BatchBody(Loose):
    """Either `file_ids` (with the same `attributes` for all), or `files`."""

    file_ids: Annotated[list[Id], Field(fail_fast=True)] | None = Field(None, max_length=MAX_FILES_AT_ONCE)
    files: Annotated[list[AttachBody], Field(fail_fast=True)] | None = Field(None, max_length=MAX_FILES_AT_ONCE)
    attributes: Attributes | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "BatchBody":
        if bool(self.file_ids) == bool(self.files):
            raise ValueError("either file_ids or files")
        return self

    def chosen(self) -> list[tuple[str, dict[str, Any]]]:
        """Each file id with its attributes."""
        if self.files:
            return [(one.file_id, one.attributes or {}) for one in self.files]
        return [(file_id, self.attributes or {}) for file_id in self.file_ids or []]


Query = Annotated[str, StringConstraints(min_length=1, max_length=QUERY_CHARACTERS)]


class SearchBody(Filtered):
    query: Query | Annotated[list[Query], Field(min_length=1, max_length=MAX_QUERIES, fail_fast=True)]
    max_num_results: Annotated[Integer, Field(ge=1, le=50)] = 10
    rewrite_query: Flag | None = None

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query

    def options(self, store_id: str) -> SearchOptions:
        return SearchOptions([store_id], self.max_num_results, self.wanted(), self.threshold, floored=False)
