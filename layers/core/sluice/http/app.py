"""The application factory every HTTP function and the one-machine runner share."""

import re
import time
from collections.abc import Iterable

from flask import Blueprint, Flask, Response, current_app, g, request

from sluice.domain.ids import request_id
from sluice.http import errors
from sluice.http.gateway import connection

MAX_BODY_BYTES = 1024 * 1024
DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# Two years, as browsers' own lists ask for; not for hosts below this one, which are not ours to speak for.
HSTS = {"Strict-Transport-Security": "max-age=63072000"}
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(blueprints: Iterable[Blueprint], *, https: bool = False) -> Flask:
    """`https`: whether the public base URL is https, which decides on HSTS and `Secure` cookies."""
    app = Flask("sluice", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["HTTPS"] = https
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(_begin)
    app.after_request(_finish)
    errors.install(app)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app


def _begin() -> None:
    connection.limit_waits(request.environ)
    g.started_ns = time.monotonic_ns()
    g.server_request_id = request_id(time.time_ns() // 1_000_000)
    asked = request.headers.get("x-request-id", "")
    g.request_id = asked if VALID_REQUEST_ID.fullmatch(asked) else g.server_request_id


def _finish(response: Response) -> Response:
    # Set early if at all: a request refused before `_begin` (none today) would otherwise have no id.
    wanted = {"x-request-id": g.get("request_id", ""), **DEFAULT_HEADERS}
    if current_app.config["HTTPS"]:
        wanted |= HSTS
    if errors.is_openai_path(request.path):
        wanted["x-sluice-request-id"] = g.get("server_request_id", "")
    headers = response.headers
    if response.status_code == 204:  # nothing, and of no kind
        headers.pop("Content-Type", None)
    # Not `setdefault`, which looks through all headers each time: a quarter of what this process adds to an answer.
    there = {name.lower() for name, _ in headers}
    for name, value in wanted.items():
        if name.lower() not in there:
            headers.add(name, value)
    return response
