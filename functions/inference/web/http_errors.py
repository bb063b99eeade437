"""One table from errors to HTTP, found by walking the class tree; OpenAI's envelope, which its SDKs understand."""

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
    UnknownModel,
)


class Face(NamedTuple):
    """What a caller sees of an error class."""

    status: int
    type: str
    code: str


TABLE: dict[type[InferenceError], Face] = {
    ContextTooLong: Face(400, "invalid_request_error", "context_length_exceeded"),
    InvalidJson: Face(400, "invalid_request_error", "invalid_json"),
    InvalidRequest: Face(400, "invalid_request_error", "invalid_value"),
    UnknownModel: Face(404, "invalid_request_error", "model_not_found"),
    Overloaded: Face(503, "server_error", "overloaded"),
    ModelUnavailable: Face(503, "server_error", "model_unavailable"),
    GenerationFailed: Face(503, "server_error", "model_unavailable"),
    DeadlineExceeded: Face(504, "server_error", "upstream_timeout"),
    InferenceError: Face(500, "server_error", "internal_error"),
}


def face_of(error: InferenceError) -> Face:
    """The row of the error's own class, or of its nearest ancestor."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def envelope(error: InferenceError) -> dict[str, Any]:
    """OpenAI's error body."""
    face = face_of(error)
    return {"error": {"message": str(error), "type": face.type, "param": error.param, "code": face.code}}


def stream_envelope(error: InferenceError) -> dict[str, Any]:
    """The same for an event of a stream whose status line is already out: status and wait travel in the body."""
    body = envelope(error)
    body["error"] |= {"status": face_of(error).status, "retry_after_s": error.retry_after_s}
    return body
