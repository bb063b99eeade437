"""The WSGI app. It loads no model: `InferenceService.start` does, after gunicorn's fork."""

import contextlib
import logging
import os
import socket
from functools import partial

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from functions.inference.errors import InferenceError
from functions.inference.settings import InferenceSettings
from functions.inference.tracing import tracing
from functions.inference.web.choices import CallerGone
from functions.inference.web.http_errors import envelope, error_body, http_error
from functions.inference.web.service import InferenceService
from functions.inference.web.views import blueprint

log = logging.getLogger(__name__)
MOST_BODY_BYTES = 4 << 20
"""Protects the memory of this process; the gateway's own limit is 1 MiB."""
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that closed its connection. It appears in logs only."""


def create_app(settings: InferenceSettings | None = None, service: InferenceService | None = None) -> Flask:
    """The app; `app.extensions["inference"]` is its service, not yet started."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
    app.extensions["inference"] = service or InferenceService(settings or InferenceSettings())
    app.extensions["tracing"] = tracing()
    app.before_request(partial(_receive_in_time, app.extensions["inference"]))
    app.before_request(partial(_refuse_web_pages, _is_local(os.environ.get("SLUICE_INFERENCE_BIND", ""))))
    app.register_blueprint(blueprint)
    app.register_error_handler(InferenceError, _known_error)
    app.register_error_handler(CallerGone, lambda _error: ("", CLIENT_CLOSED_REQUEST))
    for stalled in (ClientDisconnected, BlockingIOError, TimeoutError):
        app.register_error_handler(stalled, _stalled)
    app.register_error_handler(MemoryError, _no_room)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unknown_error)
    return app


def _is_local(bind: str) -> bool:
    """Whether only this machine can connect (gunicorn's `bind`; empty: its default in gunicorn.conf.py)."""
    return not bind or bind.startswith("unix:") or bind.rpartition(":")[0] in LOCAL_NAMES


def _refuse_web_pages(is_local: bool) -> tuple[Response, int] | None:
    """A page in a browser of this machine could call a port here: 403, also to its preflight. `is_local`: a foreign
    name that leads here is refused, too (DNS rebinding). A server elsewhere does not know its names."""
    asked = request.host if request.host.endswith("]") else request.host.rsplit(":", 1)[0]
    if "Origin" in request.headers or request.method == "OPTIONS" or (is_local and asked.lower() not in LOCAL_NAMES):
        return jsonify(error_body("Web pages may not call this server.", "invalid_request_error", "forbidden")), 403
    return None


def _receive_in_time(service: InferenceService) -> None:
    """Connections of a Unix socket do not inherit the listener's timeout (gunicorn.conf.py)."""
    connection = request.environ.get("gunicorn.socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        connection.settimeout(service.settings.read_timeout_ms / 1000)


def _known_error(error: InferenceError) -> tuple[Response, int]:
    response = jsonify(envelope(error))
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response, http_error(error).status


def _http_error(error: HTTPException) -> tuple[Response, int]:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}
    status = error.code or 500
    text = (
        "The request body is too large." if isinstance(error, RequestEntityTooLarge) else (error.name or "Error") + "."
    )
    return jsonify(error_body(text, "invalid_request_error", codes.get(status, "bad_request"))), status


def _stalled(_error: Exception) -> tuple[Response, int]:
    """The body did not arrive before the read timeout (gunicorn.conf.py). The connection is closed for reading, because
    the rest of the body could be taken for a new request."""
    if connection := request.environ.get("gunicorn.socket"):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)
    text = "The request body did not arrive in time."
    return jsonify(error_body(text, "invalid_request_error", "request_timeout")), 408


def _no_room(_error: Exception) -> tuple[Response, int]:
    """Requests hold too much already (infra.local.listener), or the process's memory is used up."""
    return jsonify(error_body("There is no memory left for this request.", "server_error", "overloaded")), 503


def _unknown_error(error: Exception) -> tuple[Response, int]:
    if type(error).__module__ == "gunicorn.http.errors":  # raised while reading the body: malformed or cut-off chunks
        return jsonify(error_body("The body's chunks are malformed.", "invalid_request_error", "bad_request")), 400
    log.exception("unexpected failure in %s %s", request.method, request.path)
    return _known_error(InferenceError("The model server failed on this request."))
