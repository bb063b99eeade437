"""Which web pages of other origins may call the API (the fetch standard's CORS protocol), by `SLUICE_ALLOWED_ORIGINS`
and the owner's `site.allowed_origins`. While publishable API tokens exist, pages of any origin may ask `/v1`: the
request itself is judged, by its token.

`/v1` takes API tokens and no cookies, so `*` is safe there. The account API answers only origins that are named, and
never with `Access-Control-Allow-Credentials`: a page reads it by a session token, never by a visitor's cookie.
"""

import re
import time
from collections.abc import Collection

from flask import Response, current_app

from sluice import settings
from sluice.domain.settings.versions import InForce
from sluice.http.errors import takes_api_token
from sluice.http.here import asked
from sluice.http.operation import Auth, Operation
from sluice.wiring.settings import any_origin, settings_in_force

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED = ("x-request-id", "x-sluice-request-id", "retry-after", "x-should-retry")
EXPOSED_PREFIXES = ("x-ratelimit-", "x-sluice-", "preference-applied")
MAX_AGE_SECONDS = 7200  # Chromium remembers a preflight no longer
HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~, -]{1,4096}", re.ASCII)
ASKED_METHOD, ASKED_HEADERS = "Access-Control-Request-Method", "Access-Control-Request-Headers"


def preflight() -> Response | None:
    """The answer to an allowed origin's preflight, also for an unknown path of /v1, whose 404 helps more."""
    request = asked()
    if request.method != "OPTIONS" or ASKED_METHOD not in request.headers or _allowed() is None:
        return None
    headers = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(MAX_AGE_SECONDS)}
    wanted = request.headers.get(ASKED_HEADERS, "")
    if HEADER_NAMES.fullmatch(wanted):
        headers["Access-Control-Allow-Headers"] = wanted
    return Response(status=204, headers=headers)


def allow(response: Response) -> None:
    """Add the headers that let the page of an allowed origin read the answer."""
    if not _is_api():
        return
    allowed = _allowed()
    if allowed is None and not settings.common().allowed_origins and not _owners(settings_in_force().known()):
        return
    if allowed != "*":  # else a cache would give one origin's answer to another
        response.vary.add("Origin")
    if allowed is None:
        return
    names = {name.lower() for name, _ in response.headers}
    exposed = [*EXPOSED, *sorted(name for name in names.difference(EXPOSED) if name.startswith(EXPOSED_PREFIXES))]
    response.headers["Access-Control-Allow-Origin"] = allowed
    response.headers["Access-Control-Expose-Headers"] = ", ".join(exposed)


def _allowed() -> str | None:
    """The `Access-Control-Allow-Origin` of the request's answer."""
    origin = asked().environ.get("HTTP_ORIGIN", "").lower()
    if not origin or not _is_api():
        return None
    found = _among(origin, settings.common().origins) or _among(origin, _owners(settings_in_force().current()))
    if found is None and takes_api_token(asked().path) and any_origin().is_asked(int(time.time())):
        return "*"
    return found


def _among(origin: str, origins: Collection[str]) -> str | None:
    if "*" in origins and takes_api_token(asked().path):
        return "*"
    return origin if origin in origins and origin != "*" else None


def _owners(found: InForce) -> Collection[str]:
    return found.settings.site.allowed_origins if found.settings else ()


def _is_api() -> bool:
    """Whether the path is of /v1 or the account API; not a page, `/metrics` or the outbox of a local run."""
    request = asked()
    if takes_api_token(request.path) or request.path.startswith("/auth/"):
        return True
    view = current_app.view_functions.get(request.endpoint or _of_another_method())
    operation: Operation | None = getattr(view, "__operation__", None)
    return operation is not None and operation.auth is not Auth.NONE


def _of_another_method() -> str:
    """The endpoint of this path where it does not answer the request's method, whose 405 the page may read, too."""
    request = asked()
    methods = getattr(request.routing_exception, "valid_methods", None)
    adapter = current_app.create_url_adapter(request) if methods else None
    if not methods or adapter is None:
        return ""
    endpoint, _ = adapter.match(method=min(methods))
    return str(endpoint)
