"""Errors as pages that say what to do. The statuses come from the same table as the JSON API's."""

import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http import errors as http_errors
from sluice.http.titles import TITLES
from sluice.pages import links
from sluice.pages.render import page, see
from sluice.pages.words import translated, worded

log = logging.getLogger("sluice.pages")


def show(error: errors.SluiceError) -> AnyResponse:
    if links.is_api(request.path) and "text/html" not in request.headers.get("Accept", ""):
        return http_errors.render(error)  # a browser is led there, and a program may try it
    try:
        return _page_of(error)
    except errors.Unavailable as exc:  # a page needs links, and the base URL is not available
        return http_errors.render(exc)


def _page_of(error: errors.SluiceError) -> AnyResponse:
    if isinstance(error, errors.NotAuthenticated):
        return _to_the_login()
    if isinstance(error, errors.ConfirmationRequired):
        return see("/my/confirm", next=links.place_of(request.path))
    if isinstance(error, errors.TermsNotAccepted):
        return _terms(error)
    row = http_errors.row_for(type(error))
    g.error_code = row.code  # for the metrics
    response = page(
        "error.html",
        row.status,
        title=translated(TITLES[row.status]),
        status=row.status,
        code=row.code,
        message=worded(error.message),
        request_id=g.get("request_id", ""),
        is_hopeless=isinstance(error, errors.NothingAllowed),
        wait_seconds=getattr(error, "retry_after_seconds", None),
    )
    response.headers.update(http_errors.retry_headers(error))
    return response


def _terms(error: errors.TermsNotAccepted) -> AnyResponse:
    """The page that asks for them, in place of the one that was wanted."""
    row = http_errors.row_for(type(error))
    g.error_code = row.code
    if "HX-Request" in request.headers:
        return Response(status=row.status, headers={"HX-Refresh": "true"})
    return page("terms.html", row.status, next=links.place_of(request.path))


def _to_the_login() -> AnyResponse:
    """htmx would follow a redirect and insert the login page into the piece it asked for, so HX-Redirect leaves it."""
    if "HX-Request" not in request.headers:
        return see("/login", next=links.place_of(request.path))
    wanted = links.place_of(urlsplit(request.headers.get("HX-Current-URL", "")).path)
    return Response(status=401, headers={"HX-Redirect": links.at("/login", next=wanted)})


def _from_werkzeug(exc: HTTPException) -> AnyResponse:
    if exc.code is not None and exc.code < 400:
        return exc.get_response()
    error = http_errors.from_status(exc)
    return _unexpected(exc) if error is None else show(error)


def _unexpected(exc: Exception) -> AnyResponse:
    if (malformed := http_errors.malformed_body(exc)) is not None:
        return show(malformed)
    log.exception("unexpected error", exc_info=exc, extra={"request_id": g.get("request_id", "")})
    return show(http_errors.InternalError())


def _no_view(exc: HTTPException) -> AnyResponse:
    """No view has this address. A browser gets a page; other clients and API addresses get problem details."""
    error = http_errors.from_status(exc) or errors.NotFound()
    wants_page = "text/html" in request.headers.get("Accept", "") and not links.is_api(request.path)
    response: AnyResponse = show(error) if wants_page else http_errors.render(error)
    methods: Iterable[str] | None = getattr(exc, "valid_methods", None)
    if methods:
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def install(blueprint: Blueprint) -> None:
    """Install on a blueprint of pages, for its own errors only."""
    blueprint.register_error_handler(errors.SluiceError, show)
    blueprint.register_error_handler(HTTPException, _from_werkzeug)
    blueprint.register_error_handler(Exception, _unexpected)


def install_unknown(blueprint: Blueprint) -> None:
    """Install on the whole app, for unknown addresses and methods."""
    blueprint.app_errorhandler(404)(_no_view)
    blueprint.app_errorhandler(405)(_no_view)
