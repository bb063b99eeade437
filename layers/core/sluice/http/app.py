"""The application factory that every HTTP function and the one-machine runner share."""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from werkzeug.routing import Rule

from sluice.domain import errors as domain_errors
from sluice.domain.ids import request_id
from sluice.http import cors, encodings, errors
from sluice.http.gateway import connection
from sluice.http.here import asked, notes

MAX_BODY_BYTES = 1024 * 1024
MAX_PATH_PART = 128
"""Characters. No id or name is longer, and DynamoDB refuses keys of more than 1,024 bytes."""
DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    # A view that answers everybody alike says so itself, by a `Cache-Control` of its own; all else is one caller's.
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# Two years, which browsers' preload lists require; without includeSubDomains, because subdomains may not be ours.
HSTS = {"Strict-Transport-Security": "max-age=63072000"}
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No function here is a coroutine, and Flask would look at each of them at each request."""
        return func


class _Route(Rule):
    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        """Not at once: Werkzeug compiles two functions a route, which only `url_for` would call, and nothing does."""
        build = super()._compile_builder

        def later(rule: Any, **values: Any) -> tuple[str, str]:
            return build(append_unknown)(rule, **values)

        return later


def create_app(blueprints: Iterable[Blueprint], *, https: bool = False) -> Flask:
    """`https`: whether the public base URL is https. Only then are HSTS and `Secure` cookies sent."""
    app = _App("sluice", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["HTTPS"] = https
    app.url_rule_class = _Route
    app.url_map.strict_slashes = app.url_map.merge_slashes = False  # Werkzeug would redirect to the request's Host
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(_begin)
    app.after_request(_finish)
    errors.install(app)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app


def _begin() -> Response | None:
    request, said = asked(), notes()
    environ = request.environ  # its entries are found several times faster than `request.headers`
    connection.limit_waits(environ)
    environ.pop("HTTP_RANGE", None)  # every answer is whole (RFC 9110, 14.2); Werkzeug refuses most ranges
    said.started_ns = time.monotonic_ns()
    said.server_request_id = server_request_id = request_id(time.time_ns() // 1_000_000)
    requested_id = environ.get("HTTP_X_REQUEST_ID", "")
    said.request_id = requested_id if VALID_REQUEST_ID.fullmatch(requested_id) else server_request_id
    if (refusal := connection.refusal(environ)) is not None:
        raise refusal
    if (answer := cors.preflight()) is not None:
        return answer
    if "HTTP_CONTENT_ENCODING" in environ:
        encodings.decode(request)
    if request.path.endswith("/") and errors.is_openai_path(request.path):  # `strict_slashes` is for pages
        raise errors.unknown_path()
    if request.view_args and any(len(part) > MAX_PATH_PART for part in request.view_args.values()):
        raise domain_errors.NotFound()
    return None


def _finish(response: Response) -> Response:
    said = notes()
    # `_begin` sets the ids early, but a request refused before it (none today) would have none.
    required = {"x-request-id": said.get("request_id", ""), **DEFAULT_HEADERS}
    if current_app.config["HTTPS"]:
        required |= HSTS
    by_token = errors.takes_api_token(asked().path)
    headers = response.headers
    # Not `setdefault`, because it searches all headers each time: a quarter of this process's share of an answer.
    present = {name.lower() for name, _ in headers}
    if "cache-control" not in present:
        required["Vary"] = "Authorization" if by_token else "Authorization, Cookie"
    if by_token:
        required["x-sluice-request-id"] = said.get("server_request_id", "")
    if response.status_code == 204:  # no content, so no content type
        headers.pop("Content-Type", None)
    # Not `add`, which looks for line breaks: constants and checked ids have none.
    headers._list += [header for header in required.items() if header[0].lower() not in present]
    cors.allow(response)
    return response
