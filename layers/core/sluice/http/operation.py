"""`@operation` declares an endpoint's input and answers once, for request checks and for the OpenAPI document.

Errors take precedence in this order: authentication (401, 403), the form of the body (413, 415, 400), then its
content (422, or 400 on `/v1`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

import pydantic_core
from flask import Response, json
from pydantic import BaseModel, ValidationError

from sluice.domain import errors
from sluice.domain.errors import SluiceError
from sluice.domain.phrases import phrase
from sluice.http import json_bounds
from sluice.http.errors import reading_body
from sluice.http.here import asked
from sluice.http.json_bounds import MAX_CHARACTERS

Model = TypeVar("Model", bound=BaseModel)
Keyed = Callable[[Callable[[], Response], type[BaseModel] | None], Response]
"""Answers a request with an `Idempotency-Key`, given its view and the model of its body."""
MAX_FAULTS = 20  # that one answer lists
MAX_BUILT_FAULTS = 2048  # pydantic can only build all of them; long lists stop at their first (`fail_fast`)


class Auth(Enum):
    NONE = "none"
    SESSION = "session"  # cookie (with the cross-site check) or bearer session token
    LEAVING = "leaving"  # the same, also for an account being deleted, to continue a deletion
    BEFORE_TERMS = "before_terms"  # as SESSION, also before the terms of use are accepted
    ADMIN = "admin"  # a session whose account has role admin
    API_TOKEN = "api_token"  # checked by the gateway's admission


OF_SESSIONS = (Auth.SESSION, Auth.LEAVING, Auth.BEFORE_TERMS, Auth.ADMIN)


@dataclass(frozen=True)
class Operation:
    summary: str
    tag: str
    auth: Auth
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    answers: Mapping[int, type[BaseModel] | str | None]  # by status; a str is a media type
    errors: tuple[type[SluiceError], ...]  # besides those that the caller, the body and the query may cause
    description: str
    keyed: Keyed | None


def operation(
    summary: str,
    *,
    tag: str,
    auth: Auth = Auth.NONE,
    status: int = 200,
    answers: Mapping[int, type[BaseModel] | str | None] | None = None,
    errors: tuple[type[SluiceError], ...] = (),
    description: str = "",
    documented_body: type[BaseModel] | None = None,
    documented_query: type[BaseModel] | None = None,
    keyed: Keyed | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """The view's annotations declare what it takes and gives, so they must be classes and no strings.

    It gets `body` and `query` (validated models) if it has these parameters, and `caller` (`sluice.http.auth.Caller`)
    if `auth` is a session's. On `/v1` the view authenticates first and then parses `documented_body` and
    `documented_query` itself. It returns a model, a dict, `None`, a `(value, status)` pair, or a `Response`, which is
    sent unchanged. `answers` is needed only if the return type does not name the one answer. `keyed`: where a request
    may carry an `Idempotency-Key`, what answers one that does.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
        body, query, returned = (view.__annotations__.get(name) for name in ("body", "query", "return"))
        declared_answers = answers or {204 if returned is None else status: returned}
        first_status = next(iter(declared_answers))

        @wraps(view)
        def checked(**arguments: Any) -> Response:
            if auth in OF_SESSIONS:
                from sluice.http.auth import require_session  # the gateway does not need to import this

                arguments["caller"] = require_session(
                    auth is Auth.ADMIN, auth is Auth.LEAVING, before_terms=auth is Auth.BEFORE_TERMS
                )
            if body is not None:
                arguments["body"] = parse_body(body)
            if query is not None:
                arguments["query"] = validated(query, asked().args.to_dict())
            if keyed is not None and "HTTP_IDEMPOTENCY_KEY" in asked().environ:
                return keyed(lambda: _respond(view(**arguments), first_status), documented_body)
            return _respond(view(**arguments), first_status)

        models = (body or documented_body, query or documented_query)
        declared = Operation(summary, tag, auth, *models, declared_answers, errors, description, keyed)
        checked.__operation__ = declared  # type: ignore[attr-defined]
        return checked

    return decorate


def parse_body(model: type[Model]) -> Model:
    """A body of which every member is optional may be left out. Errors: as `json_body`, and ValidationFailed."""
    if any(field.is_required() for field in model.model_fields.values()) or asked().mimetype or raw_body():
        return validated(model, json_body())
    return validated(model, {})


def json_body() -> dict[str, Any]:
    """Errors: RequestTooLarge, UnsupportedMediaType, InvalidEncoding, InvalidJson, ValidationFailed (no object)."""
    raw, request = raw_body(), asked()
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise errors.UnsupportedMediaType()
    if (fault := json_bounds.excess(raw)) is not None:
        raise errors.InvalidJson(fault)
    try:
        value = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as exc:
        raise errors.InvalidJson() from exc
    if not isinstance(value, dict):
        raise errors.ValidationFailed((errors.FieldProblem("", "The body must be a JSON object."),))
    return value


def raw_body() -> bytes:
    """Decoded. Errors: RequestTooLarge (above `max_content_length`), UnsupportedEncoding, InvalidEncoding, InvalidJson
    (chunks that are malformed)."""
    request = asked()
    with reading_body():
        raw = request.get_data(cache=True)  # raises RequestEntityTooLarge (413)
        if request.content_length is None:
            request.stream.read(1)  # raises it for chunks, which `get_data` only cuts off
    return raw


def validated(model: type[Model], value: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise errors.ValidationFailed(_problems(exc, value)) from exc


def _problems(exc: ValidationError, value: Mapping[str, Any]) -> tuple[errors.FieldProblem, ...]:
    if (count := exc.error_count()) > MAX_BUILT_FAULTS:
        return (errors.FieldProblem("", phrase("The body has %(count)s faults.", count=format(count, ","))),)
    found = exc.errors(include_url=False, include_input=False)
    return tuple(
        errors.FieldProblem(".".join(str(part)[:MAX_CHARACTERS] for part in path), text, json_bounds.written(path))
        for path, text in json_bounds.located(found, value)[:MAX_FAULTS]
    )


def _respond(result: Any, status: int) -> Response:
    if isinstance(result, tuple):
        result, status = result
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status=status)
    if isinstance(result, BaseModel):
        return Response(result.model_dump_json(by_alias=True), status, mimetype="application/json")
    return Response(json.dumps(result), status, mimetype="application/json")
