"""The error answers of an operation in the OpenAPI document: declared errors, and those of every such operation."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pydantic import Field

from sluice.domain import errors
from sluice.http import errors as rendering
from sluice.http.lazy_model import BaseModel
from sluice.http.operation import OF_SESSIONS, Auth, Operation
from sluice.http.titles import TITLES

Kind = type[errors.SluiceError]
REQUEST_ID = "req_01KAJ3M5V0Q8W6Z4X2T1R9P7N5"
BODY_ERRORS: tuple[Kind, ...] = (
    errors.InvalidJson,
    errors.InvalidEncoding,
    errors.RequestTooLarge,
    errors.UnsupportedMediaType,
    errors.ValidationFailed,
)


SCHEMAS = {"problem": "Problem", "openai": "OpenAIError", "anthropic": "AnthropicError"}
CODES = {"problem": "code", "openai": "code", "anthropic": "type"}  # the field that says what went wrong


class ProblemField(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[ProblemField] | None = Field(None, description="with `validation_error`: which fields, and why")


def kinds_of(operation: Operation, method: str) -> list[Kind]:
    """Every error that the operation may answer with, without duplicates."""
    automatic: list[Kind] = []
    if operation.auth in OF_SESSIONS:
        automatic += [errors.NotAuthenticated, errors.AccountSuspended, errors.StoreUnavailable]
        automatic += [errors.TermsNotAccepted] if operation.auth is Auth.SESSION else []
        automatic += [] if method in ("get", "head") else [errors.CrossSiteRequest]
    if operation.auth is Auth.ADMIN:
        automatic.append(errors.Forbidden)
    if operation.auth is Auth.API_TOKEN:  # the models may be unknown, and all places on `/v1` taken
        automatic += [errors.InvalidApiToken, errors.AccountSuspended, errors.InsufficientScope]
        automatic += [errors.StoreUnavailable, errors.ModelUnavailable, errors.Overloaded]
    if operation.body is not None:
        automatic += BODY_ERRORS
    if operation.keyed:
        automatic += [errors.InvalidModelRequest, errors.StillRunning, errors.IdempotencyKeyReused]
        automatic += [errors.RateLimitExceeded]
    if operation.query is not None:
        automatic.append(errors.ValidationFailed)
    return list(dict.fromkeys([*automatic, *operation.errors, rendering.InternalError]))


def responses(kinds: Iterable[Kind], form: rendering.Form) -> dict[str, Any]:
    """By status: the possible codes, an example of each, and the response headers."""
    by_status: dict[int, list[Kind]] = defaultdict(list)
    for kind in kinds:
        by_status[rendering.status_of(_sample(kind), form)].append(kind)
    return {str(status): _response(status, by_status[status], form) for status in sorted(by_status)}


def _response(status: int, kinds: list[Kind], form: rendering.Form) -> dict[str, Any]:
    bodies = {_name(kind): rendering.BODIES[form](_sample(kind), REQUEST_ID) for kind in kinds}
    codes = sorted({_code(body, form) for body in bodies.values()} - {None}, key=str)
    nullable = any(_code(body, form) is None for body in bodies.values())
    code: dict[str, Any] = {"enum": [*codes, *([None] if nullable else [])]}
    base = {"$ref": f"#/components/schemas/{SCHEMAS[form]}"}
    named = {CODES[form]: code}
    narrowed = {"properties": named if form == "problem" else {"error": {"properties": named}}}
    media_type = rendering.MEDIA_TYPES[form]
    examples = {name: {"value": body} for name, body in bodies.items()}
    return {
        "description": f"{TITLES[status]}: {', '.join(f'`{code}`' for code in codes) or 'see `param`'}",
        "headers": _headers(status, kinds),
        "content": {media_type: {"schema": {"allOf": [base, narrowed]}, "examples": examples}},
    }


def _headers(status: int, kinds: list[Kind]) -> dict[str, Any]:
    names = ["x-request-id"]
    if status == 401:
        names.append("WWW-Authenticate")
    if any(rendering.retry_headers(_sample(kind)) for kind in kinds):
        names.append("Retry-After")
    if errors.QuotaExceeded in kinds:
        names.append("x-should-retry")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _sample(kind: Kind) -> errors.SluiceError:
    if issubclass(kind, errors.Throttled) and not issubclass(kind, errors.TooManyConcurrentRequests):
        return kind(30)
    if issubclass(kind, errors.ValidationFailed):
        return kind((errors.FieldProblem("field", "why it is not valid"),))
    return kind()


def _name(kind: Kind) -> str:
    return rendering.row_for(kind).code


def _code(body: dict[str, Any], form: rendering.Form) -> str | None:
    code: str | None = body.get("error", body)[CODES[form]]
    return code
