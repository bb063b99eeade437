"""Requests of files and vector stores: authenticate, parse, and admit all except GET and DELETE."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from io import BytesIO
from typing import IO, Any, BinaryIO, TypeVar
from urllib.parse import quote

from flask import Response, redirect, request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser

from sluice import settings
from sluice.domain import errors
from sluice.domain.documents.document import File
from sluice.domain.documents.uploads import MAX_FILE_BYTES, MIB
from sluice.domain.tokens import Claims
from sluice.http.documents.requests import Purpose
from sluice.http.errors import reading_body
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.context import admitting
from sluice.http.operation import parse_body, validated
from sluice.services.documents.files import BATCH_PURPOSE
from sluice.wiring.gateway import gateway
from sluice.wiring.stores import blobs

Model = TypeVar("Model", bound=BaseModel)
SCOPE = "files"
FORM_BYTES = 64 * 1024  # the most that a form may hold in addition to its file
MAX_PARTS = 20
PIECE_BYTES = 64 * 1024
LARGER = re.compile("/v1/files|/v1/uploads/[^/]+/parts")  # a body may have more, if the server takes it (ADR 125)
TOO_LARGE = f"A file may have {MAX_FILE_BYTES // MIB} MiB at most."


def now_ms() -> int:
    return gateway().now_ms()


def account() -> str:
    """The account of a request without query or body. GET and DELETE count against no limit, because people can always
    read and delete what is theirs. Errors: InvalidApiToken, InsufficientScope, AccountSuspended."""
    claims = authenticate(SCOPE)
    gateway().check_caller(claims)
    return claims.account_id


def account_and_query(model: type[Model]) -> tuple[str, Model]:
    """Errors: as `account`, then ValidationFailed."""
    claims = authenticate(SCOPE)
    with gateway().authentication_first(claims):
        query = validated(model, request.args.to_dict())
    gateway().check_caller(claims)
    return claims.account_id, query


def claims_and_body(model: type[Model]) -> tuple[Claims, Model]:
    """Claims and JSON body of a request that `admitted` will count. Errors: as `account`, then as `parse_body`."""
    claims = authenticate(SCOPE)
    with gateway().form_counted(claims):
        return claims, parse_body(model)


def claims() -> Claims:
    """Of a request without a body that `admitted` will count. Errors: InvalidApiToken, InsufficientScope."""
    return authenticate(SCOPE)


@contextmanager
def admitted(claims: Claims, endpoint: str) -> Iterator[str]:
    """→ the account. One admission and one ledger record, of no tokens."""
    with gateway().counted(claims, endpoint, admitting(claims)):
        yield claims.account_id


def claims_and_upload() -> tuple[Claims, str, bytes | BinaryIO, str]:
    """Claims; name, bytes (or the draft of a large file), purpose.

    Errors: as `account`, RequestTooLarge, UnsupportedMediaType, ValidationFailed."""
    claims = authenticate(SCOPE)
    with gateway().form_counted(claims):
        return claims, *_form()


def expect_upload() -> None:
    """Call it before the form is read. A small form is parsed in memory, so no upload gets into a temporary file. Only
    a file of requests or a part may be larger: it becomes a draft where the files are."""
    is_large = LARGER.fullmatch(request.path) and (request.content_length or 0) > MAX_FILE_BYTES + FORM_BYTES
    most = settings.documents().batch_file_mb * MIB if is_large else MAX_FILE_BYTES
    request.max_content_length = most + FORM_BYTES
    request.form_data_parser_class = _Drafted if is_large else _InMemory


class _InMemory(FormDataParser):
    def __init__(self, **options: Any) -> None:
        factory = {"stream_factory": lambda **_: self.file()}
        super().__init__(**{**options, **factory, "max_form_parts": MAX_PARTS})

    def file(self) -> IO[bytes]:
        return BytesIO()


class _Drafted(_InMemory):
    def file(self) -> IO[bytes]:
        return blobs().draft()


def closing_draft(body: bytes | BinaryIO) -> AbstractContextManager[object]:
    return nullcontext() if isinstance(body, bytes) else body


def read_form(holding: str) -> dict[str, str]:
    """The fields that are no files. Errors: RequestTooLarge, UnsupportedMediaType."""
    expect_upload()
    if request.mimetype != "multipart/form-data":
        raise errors.UnsupportedMediaType(f"The request must be multipart/form-data, with {holding}.")
    with reading_body():
        return request.form.to_dict()


def _form() -> tuple[str, bytes | BinaryIO, str]:
    fields = read_form("file and purpose")
    sent = sent_file()
    if any((name or "").startswith("expires_after") for name in fields):  # a part may lack its name
        raise errors.ValidationFailed((errors.FieldProblem("expires_after", "Not supported."),))
    purpose = str(validated(Purpose, fields).purpose)
    return sent.filename or "", draft_of(sent) if purpose == BATCH_PURPOSE else body_of(sent), purpose


def sent_file(field: str = "file") -> FileStorage:
    """Errors: ValidationFailed."""
    sent = request.files.get(field)
    if sent is None:
        raise errors.ValidationFailed((errors.FieldProblem(field, "is required: a file with a name"),))
    return sent


def draft_of(sent: FileStorage) -> bytes | BinaryIO:
    """As `body_of`; of a large one the draft. Errors: RequestTooLarge."""
    return sent.stream if request.form_data_parser_class is _Drafted else body_of(sent)  # type: ignore[return-value]


def body_of(sent: FileStorage) -> bytes:
    """Errors: RequestTooLarge."""
    body = sent.stream.read(MAX_FILE_BYTES + 1)
    if len(body) > MAX_FILE_BYTES:
        raise errors.RequestTooLarge(TOO_LARGE)
    return body


def download(file: File, body: BinaryIO | str) -> Response:
    """The file as an attachment of a neutral type, so that no browser shows an upload as a page of this site. `body`:
    its content, or where it is."""
    if isinstance(body, str):
        return redirect(body)  # type: ignore[return-value]
    response = Response(mimetype="application/octet-stream")
    if file.size_bytes > MAX_FILE_BYTES:
        response.response = iter(partial(body.read, PIECE_BYTES), b"")
        response.call_on_close(body.close)
    else:
        with body:
            response.data = body.read()
    response.content_length = file.size_bytes
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}"
    return response
