"""The one table from errors to HTTP, searched along the class hierarchy, and OpenAI's error body."""

from typing import Any, NamedTuple

from functions.inference.errors import (
    ContextTooLong,
    DeadlineExceeded,
    GenerationFailed,
    InferenceError,
    InvalidJson,
    InvalidRequest,
    ModelUnavailable,
    Overloaded,
    SchemaNotMet,
    UnknownModel,
    UnsupportedSchema,
)


class HttpError(NamedTuple):
    """Status and codes of an error class."""

    status: int
    type: str
    code: str


TABLE: dict[type[InferenceError], HttpError] = {
    ContextTooLong: HttpError(400, "invalid_request_error", "context_length_exceeded"),
    InvalidJson: HttpError(400, "invalid_request_error", "invalid_json"),
    InvalidRequest: HttpError(400, "invalid_request_error", "invalid_value"),
    UnsupportedSchema: HttpError(400, "invalid_request_error", "unsupported_schema"),
    UnknownModel: HttpError(404, "invalid_request_error", "model_not_found"),
    SchemaNotMet: HttpError(502, "server_error", "schema_not_met"),
    Overloaded: HttpError(503, "server_error", "overloaded"),
    ModelUnavailable: HttpError(503, "server_error", "model_unavailable"),
    GenerationFailed: HttpError(503, "server_error", "model_unavailable"),
    DeadlineExceeded: HttpError(504, "server_error", "upstream_timeout"),
    InferenceError: HttpError(500, "server_error", "internal_error"),
}


def http_error(error: InferenceError) -> HttpError:
    """The row of the error's class or of its nearest ancestor."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def envelope(error: InferenceError) -> dict[str, Any]:
    """OpenAI's error body."""
    found = http_error(error)
    return error_body(str(error), found.type, found.code, error.param)


def error_body(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def stream_envelope(error: InferenceError) -> dict[str, Any]:
    """The error body inside a stream. The status line was sent already, so the body has status and wait (seconds)."""
    body = envelope(error)
    body["error"] |= {"status": http_error(error).status, "retry_after_s": error.retry_after_s}
    return body
