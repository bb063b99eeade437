"""The table from errors to HTTP statuses, and the two formats of error bodies.

Account API: RFC 9457 problem details. `/v1/*`: OpenAI's envelope, so that OpenAI's SDKs raise their own exceptions.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from flask import Flask, Response, current_app, g, json, request
from werkzeug.exceptions import HTTPException

from sluice.domain import errors
from sluice.http.here import asked
from sluice.http.titles import OVERLOADED, TITLES, VARY, preferred_language, title_in

log = logging.getLogger("sluice.http")
BASE_URL_ENDS = "The base URL ends in /v1, and each path follows it once, without a slash at its end."
MAX_PARTS, MAX_CHARACTERS = 8, 200  # of an unknown path, when a similar one is looked for


@dataclass(frozen=True)
class Row:
    status: int
    code: str
    openai_type: str = "invalid_request_error"


# The nearest ancestor of an error's class decides, so a new error class works without a line of its own here.
TABLE: dict[type[BaseException], Row] = {
    errors.InvalidJson: Row(400, "invalid_json"),
    errors.InvalidEncoding: Row(400, "invalid_encoding"),
    errors.MailedCodeInvalid: Row(400, "invalid_token"),
    errors.ContextLengthExceeded: Row(400, "context_length_exceeded"),
    errors.UnsupportedSchema: Row(400, "unsupported_schema"),
    errors.InvalidModelRequest: Row(400, "invalid_request_error"),
    errors.InvalidCredentials: Row(401, "invalid_credentials"),
    errors.NotAuthenticated: Row(401, "not_authenticated"),
    errors.InvalidApiToken: Row(401, "invalid_api_key"),
    errors.Forbidden: Row(403, "forbidden", "permission_error"),
    errors.EmailNotVerified: Row(403, "email_not_verified", "permission_error"),
    errors.InsufficientScope: Row(403, "insufficient_scope", "permission_error"),
    errors.AccountSuspended: Row(403, "account_suspended", "permission_error"),
    errors.ConfirmationRequired: Row(403, "confirmation_required", "permission_error"),
    errors.TermsNotAccepted: Row(403, "terms_not_accepted", "permission_error"),
    errors.CrossSiteRequest: Row(403, "csrf", "permission_error"),
    errors.NotFound: Row(404, "not_found"),
    errors.ModelNotFound: Row(404, "model_not_found"),
    errors.MethodNotAllowed: Row(405, "method_not_allowed"),
    errors.RequestTimeout: Row(408, "request_timeout"),
    errors.Conflict: Row(409, "conflict"),
    errors.TokenLimitReached: Row(409, "token_limit_reached"),
    errors.RequestTooLarge: Row(413, "request_too_large"),
    errors.UnsupportedMediaType: Row(415, "unsupported_media_type"),
    errors.ValidationFailed: Row(422, "validation_error"),
    errors.IdempotencyKeyReused: Row(422, "idempotency_key_reused"),
    errors.Throttled: Row(429, "rate_limit_exceeded", "rate_limit_error"),
    errors.RateLimitExceeded: Row(429, "rate_limit_exceeded", "rate_limit_error"),
    errors.QuotaExceeded: Row(429, "insufficient_quota", "insufficient_quota"),
    errors.InsufficientBudget: Row(402, "insufficient_budget", "insufficient_quota"),
    errors.TooManyConcurrentRequests: Row(429, "too_many_concurrent_requests", "rate_limit_error"),
    errors.TooManyAttempts: Row(429, "too_many_attempts", "rate_limit_error"),
    errors.Interrupted: Row(500, "internal_error", "server_error"),
    errors.SchemaNotMet: Row(502, "schema_not_met", "server_error"),
    errors.Unavailable: Row(503, "unavailable", "server_error"),
    errors.ModelUnavailable: Row(503, "model_unavailable", "server_error"),
    errors.PaymentUnavailable: Row(503, "payment_unavailable", "server_error"),
    errors.Overloaded: Row(503, "overloaded", "server_error"),
    errors.UpstreamTimeout: Row(504, "upstream_timeout", "server_error"),
}
Form = Literal["problem", "openai", "anthropic"]
ANTHROPIC_TYPES = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", OVERLOADED: "overloaded_error",
}  # fmt: skip
"""By status; all others are `invalid_request_error`, or `api_error` from 500 on."""
UNEXPECTED = Row(500, "internal_error", "server_error")
# The domain error for each status that Flask or Werkzeug raises.
FROM_WERKZEUG: dict[int, type[errors.SluiceError]] = {
    400: errors.InvalidJson,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.RequestTooLarge,
    415: errors.UnsupportedMediaType,
}


def row_for(kind: type[BaseException]) -> Row:
    return next((TABLE[ancestor] for ancestor in kind.__mro__ if ancestor in TABLE), UNEXPECTED)


def request_form() -> Form:
    request = asked()
    return form_of(request.path, versioned="HTTP_ANTHROPIC_VERSION" in request.environ)


def form_of(path: str, *, versioned: bool = False) -> Form:
    """The form of this address's errors. `versioned`: the request carries `anthropic-version`, by which Anthropic's
    clients are known where they share an address with OpenAI's."""
    if not is_openai_path(path):
        return "problem"
    parts = path.split("/")
    return "anthropic" if parts[2:3] == ["messages"] or versioned else "openai"


def status_of(error: BaseException, form: Form) -> int:
    """On `/v1` a body of the wrong shape is 400, as OpenAI does; everywhere else 422."""
    row = row_for(type(error))
    if form == "anthropic" and row.code == "overloaded":
        return OVERLOADED
    return 400 if form != "problem" and row.code == "validation_error" else row.status


def ledger_status(error: BaseException, form: Form = "openai") -> int:
    """What the ledger records for a request that ended with this error: the status that `/v1` answers with."""
    return status_of(error, form)


def anthropic_envelope(error: errors.SluiceError, request_id: str = "") -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`"""
    status = status_of(error, "anthropic")
    kind = ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    message = openai_envelope(error)["error"]["message"]
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def openai_envelope(error: errors.SluiceError, request_id: str = "") -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`"""
    row = row_for(type(error))
    param: str | None = getattr(error, "param", None)
    code: str | None = row.code
    message = error.message
    if isinstance(error, errors.ValidationFailed):
        first = error.problems[0] if error.problems else None
        param, code = (first.param or first.field or None) if first else None, None
        message = (f"{param}: {first.message}" if param else first.message) if first else message
    elif type(error) is errors.InvalidModelRequest:
        code = None
    return {"error": {"message": message, "type": row.openai_type, "param": param, "code": code}}


def problem(error: errors.SluiceError, request_id: str) -> dict[str, Any]:
    """RFC 9457 problem details."""
    row = row_for(type(error))
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES[row.status],
        "status": row.status,
        "detail": error.message,
        "code": row.code,
        "request_id": request_id,
    }
    if isinstance(error, errors.ValidationFailed) and error.problems:
        body["errors"] = [{"field": p.field, "message": p.message} for p in error.problems]
    return body


BODIES: dict[Form, Callable[[errors.SluiceError, str], dict[str, Any]]] = {
    "problem": problem,
    "openai": openai_envelope,
    "anthropic": anthropic_envelope,
}
MEDIA_TYPES: dict[Form, str] = {
    "problem": "application/problem+json",
    "openai": "application/json",
    "anthropic": "application/json",
}


def retry_headers(error: errors.SluiceError) -> dict[str, str]:
    seconds = getattr(error, "retry_after_seconds", None)
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    if isinstance(error, errors.QuotaExceeded):
        headers["x-should-retry"] = "false"  # OpenAI's SDKs obey it; retries are useless this month
    return headers


def is_openai_path(path: str) -> bool:
    return path == "/v1" or path.startswith("/v1/")


def is_inference_path(path: str) -> bool:
    """Of the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def takes_api_token(path: str) -> bool:
    return is_openai_path(path) or is_inference_path(path)


def render(error: errors.SluiceError) -> Response:
    form = request_form()
    status = status_of(error, form)
    body = BODIES[form](error, g.get("request_id", ""))
    if form == "problem" and isinstance(error, UnknownPath):
        body |= openai_envelope(error)
    elif is_inference_path(request.path):
        body["error"] = error.message  # where its clients read it
    is_translated = form == "problem" and not takes_api_token(request.path)
    if is_translated:
        language = preferred_language()
        body["title"] = title_in(language, status)
    response = Response(json.dumps(body), status, mimetype=MEDIA_TYPES[form])
    if is_translated:
        response.headers["Content-Language"] = language
        response.headers["Vary"] = VARY
    g.error_code = row_for(type(error)).code  # for the metrics
    response.headers.update(retry_headers(error))
    response.headers.update(getattr(error, "headers", {}))
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 6750, section 3
    return response


class UnknownPath(errors.NotFound):
    """No route has the request's path, but one has a part of it below /v1. Its body has both formats of errors, because
    the caller may be an OpenAI SDK whose base URL lacks /v1."""


def unknown_path() -> errors.NotFound:
    """Why the request's path is none: mostly because a base URL does not end in /v1, or ends in it twice."""
    parts = [part for part in request.path.split("/") if part and part.lower() != "v1"][:MAX_PARTS]
    adapter = current_app.create_url_adapter(request)
    for start in range(len(parts)):
        right = "/v1/" + "/".join(parts[start:])
        if right != request.path and adapter is not None and adapter.allowed_methods(right):
            return UnknownPath(f"Did you mean {right[:MAX_CHARACTERS]}? {BASE_URL_ENDS}")
    return errors.NotFound()


def from_status(exc: HTTPException) -> errors.SluiceError | None:
    """The domain error for what Flask or Werkzeug raised, or None if it is none of the caller's."""
    if request.routing_exception is exc and exc.code == 404:
        return unknown_path()
    kind = FROM_WERKZEUG.get(exc.code or 500)
    return None if kind is None else kind()


def _from_werkzeug(exc: HTTPException) -> Response:
    if exc.code is not None and exc.code < 400:  # a redirect is not an error
        return exc.get_response()  # type: ignore[return-value]
    error = from_status(exc)
    if error is None:
        return _unexpected(exc)
    response = render(error)
    if exc.code == 405 and getattr(exc, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(exc.valid_methods))  # type: ignore[attr-defined]
    return response


class InternalError(errors.SluiceError):
    default_message = "Something went wrong on our side. The request id helps us to find out what."


def malformed_body(exc: Exception) -> errors.InvalidJson | None:
    """The caller's fault that the server found while the app read the body (gunicorn's InvalidChunkSize and others)."""
    found = type(exc).__module__ == "gunicorn.http.errors"
    return errors.InvalidJson("The body is cut off, or its chunks are malformed.") if found else None


@contextmanager
def reading_body() -> Iterator[None]:
    """What goes wrong while a body is read, as a domain error, so that the gateway can count it."""
    try:
        yield
    except HTTPException as exc:
        if isinstance(exc.__context__, TimeoutError):  # which Werkzeug takes for a disconnected client
            raise errors.RequestTimeout() from exc
        raise FROM_WERKZEUG.get(exc.code or 400, errors.InvalidJson)() from exc
    except Exception as exc:
        if (malformed := malformed_body(exc)) is not None:
            raise malformed from exc
        raise


def _unexpected(exc: Exception) -> Response:
    if (malformed := malformed_body(exc)) is not None:
        return render(malformed)
    log.exception("unexpected error", exc_info=exc, extra={"request_id": g.get("request_id", "")})
    return render(InternalError())


def install(app: Flask) -> None:
    app.register_error_handler(errors.SluiceError, render)
    app.register_error_handler(HTTPException, _from_werkzeug)
    app.register_error_handler(Exception, _unexpected)
