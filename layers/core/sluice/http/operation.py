"""`@operation` declares an endpoint's input and answers once, for request checks and for the OpenAPI document.

Errors take precedence in this order: authentication (401, 403), the form of the body (413, 415, 400), then its
content (422, or 400 on `/v1`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

import pydantic_core
from flask import Response, json, request
from pydantic import BaseModel, ValidationError

from sluice.domain import errors
from sluice.domain.errors import SluiceError
from sluice.http import json_bounds

Model = TypeVar("Model", bound=BaseModel)
MAX_FAULTS = 20  # that one answer lists
MAX_BUILT_FAULTS = 2048  # pydantic can only build all of them; long lists stop at their first (`fail_fast`)


class Auth(Enum):
    NONE = "none"
    SESSION = "session"  # cookie (with the cross-site check) or bearer session token
    LEAVING = "leaving"  # the same, also for an account being deleted, to continue a deletion
    ADMIN = "admin"  # a session whose account has role admin
    API_TOKEN = "api_token"  # checked by the gateway's admission


@dataclass(frozen=True)
class Operation:
    summary: str
    tag: str
    auth: Auth = Auth.NONE
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answers: Mapping[int, type[BaseModel] | str | None] = field(default_factory=dict)  # a str is a media type
    errors: tuple[type[SluiceError], ...] = ()
    description: str = ""
    documented_body: type[BaseModel] | None = None  # the view parses it itself, later


def operation(
    summary: str,
    *,
    tag: str,
    auth: Auth = Auth.NONE,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    answers: Mapping[int, type[BaseModel] | str | None],
    errors: tuple[type[SluiceError], ...] = (),
    description: str = "",
    documented_body: type[BaseModel] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """The view gets `body=` and `query=` (validated models) and `caller=` (`sluice.http.auth.Caller`) where declared.
    It returns a model, a dict, `None`, a `(value, status)` pair, or a `Response`, which is sent unchanged."""
    declared = Operation(summary, tag, auth, body, query, answers, errors, description, documented_body)
    first_status = next(iter(answers))

    def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
        @wraps(view)
        def checked(**arguments: Any) -> Response:
            if auth in (Auth.SESSION, Auth.LEAVING, Auth.ADMIN):
                from sluice.http.auth import require_session  # the gateway does not need to import this

                arguments["caller"] = require_session(admin=auth is Auth.ADMIN, leaving=auth is Auth.LEAVING)
            if body is not None:
                arguments["body"] = parse_body(body)
            if query is not None and auth is not Auth.API_TOKEN:  # on `/v1` the view authenticates first
                arguments["query"] = validated(query, request.args.to_dict())
            return _respond(view(**arguments), first_status)

        checked.__operation__ = declared  # type: ignore[attr-defined]
        return checked

    return decorate


def parse_body(model: type[Model]) -> Model:
    """Errors: RequestTooLarge, UnsupportedMediaType, InvalidJson, ValidationFailed."""
    raw = request.get_data(cache=True)  # raises RequestEntityTooLarge (413) above MAX_CONTENT_LENGTH
    if request.content_length is None:
        request.stream.read(1)  # raises it for chunks, which `get_data` only cuts off
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
    return validated(model, value)


def validated(model: type[Model], value: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise errors.ValidationFailed(_problems(exc)) from exc


def _problems(exc: ValidationError) -> tuple[errors.FieldProblem, ...]:
    if (count := exc.error_count()) > MAX_BUILT_FAULTS:
        return (errors.FieldProblem("", f"The body has {count:,} faults."),)
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    return tuple(_problem(error) for error in found[:MAX_FAULTS])


def _problem(error: Any) -> errors.FieldProblem:
    path = ".".join(str(part) for part in error["loc"] if isinstance(part, int) or not _is_union_member(part))
    return errors.FieldProblem(path, error["msg"].removeprefix("Value error, "))


def _is_union_member(part: str) -> bool:
    """Whether this part of the path is pydantic's name of a union member (`str`, `TextPart`, `list[str]`), which is not
    in the caller's JSON."""
    return part in ("str", "int", "float", "bool") or part[:1].isupper() or "[" in part


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
