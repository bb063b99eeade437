"""Requests of files and vector stores: authenticate, parse, and admit all except GET and DELETE."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Response, request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser

from sluice.domain import errors
from sluice.domain.documents.uploads import MAX_FILE_BYTES, MIB
from sluice.domain.tokens import Claims
from sluice.http.documents.requests import Purpose
from sluice.http.errors import reading_body
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.context import admitting
from sluice.http.operation import parse_body, validated
from sluice.wiring.gateway import gateway

Model = TypeVar("Model", bound=BaseModel)
SCOPE = "files"
FORM_BYTES = 64 * 1024  # the most that a form may hold in addition to its file
MAX_PARTS = 20
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


def claims_and_upload() -> tuple[Claims, str, bytes, str]:
    """Claims; name, bytes, purpose. Errors: as `account`, RequestTooLarge, UnsupportedMediaType, ValidationFailed."""
    claims = authenticate(SCOPE)
    with gateway().form_counted(claims):
        return claims, *_form()


def expect_upload() -> None:
    """Call it before the form is read. The small form is parsed in memory, so no upload gets into a temporary file."""
    request.max_content_length = MAX_FILE_BYTES + FORM_BYTES
    request.form_data_parser_class = _InMemory


class _InMemory(FormDataParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "stream_factory": lambda **_: BytesIO(), "max_form_parts": MAX_PARTS})


def _form() -> tuple[str, bytes, str]:
    expect_upload()
    if request.mimetype != "multipart/form-data":
        raise errors.UnsupportedMediaType("The request must be multipart/form-data, with file and purpose.")
    with reading_body():
        fields = request.form.to_dict()
    sent = sent_file()
    if any((name or "").startswith("expires_after") for name in fields):  # a part may lack its name
        raise errors.ValidationFailed((errors.FieldProblem("expires_after", "Not supported."),))
    purpose = validated(Purpose, fields).purpose
    return *sent, str(purpose)


def sent_file() -> tuple[str, bytes]:
    """Name and bytes of the form's file. Errors: ValidationFailed, RequestTooLarge."""
    sent = request.files.get("file")
    if sent is None:
        raise errors.ValidationFailed((errors.FieldProblem("file", "is required: a file with a name"),))
    return sent.filename or "", body_of(sent)


def body_of(sent: FileStorage) -> bytes:
    """Errors: RequestTooLarge."""
    body = sent.stream.read(MAX_FILE_BYTES + 1)
    if len(body) > MAX_FILE_BYTES:
        raise errors.RequestTooLarge(TOO_LARGE)
    return body


def download(filename: str, body: bytes) -> Response:
    """The file as an attachment of a neutral type, so that no browser shows an upload as a page of this site."""
    response = Response(body, mimetype="application/octet-stream")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
    return response
