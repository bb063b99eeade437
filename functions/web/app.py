"""`/`, the pages' style sheet, `/openapi.json`, and `/docs`, where each call can be tried."""

from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, redirect, request, send_from_directory

from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import operation
from sluice.pages import errors, home

blueprint = Blueprint("web", __name__)
blueprint.register_blueprint(home.blueprint)  # the other functions serve the pages of their own subjects
errors.install_unknown(blueprint)
HERE = Path(__file__).parent
# No inline script or style and no other host. Swagger UI needs no more than `data:` images (checked in Chromium).
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS_CACHED_SECONDS = 3600


@blueprint.get("/openapi.json")
@operation("This document", tag="Operation", answers={200: "application/json"})
def openapi_document() -> Response:
    response = Response(_document(), mimetype="application/json")
    response.add_etag()
    response.cache_control.no_cache = True  # clients may keep it but must revalidate it
    response.make_conditional(request)
    return response


@cache
def _document() -> bytes:
    return (HERE / "openapi.json").read_bytes()


@blueprint.get("/docs")
def docs() -> Any:
    if request.path.endswith("/"):
        return redirect("../docs")  # the page's links are relative, for the sake of a stage prefix
    page = send_from_directory(HERE / "static", "docs.html", max_age=0)
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


@blueprint.get("/docs/<path:name>")
def docs_asset(name: str) -> Response:
    """Errors: NotFound, also for a path outside the folder."""
    return send_from_directory(HERE / "static", name, max_age=ASSETS_CACHED_SECONDS)


handler = lambda_handler(blueprint)
