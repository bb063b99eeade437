"""`/`, the pages' style sheet, `/openapi.json`, and `/docs`, where each call can be tried."""

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, redirect, request
from markupsafe import escape

from sluice.domain.errors import NotFound, Unavailable
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import operation
from sluice.http.public import public
from sluice.pages import assets, errors, home
from sluice.wiring import peers
from sluice.wiring.settings import site

blueprint = Blueprint("web", __name__)
blueprint.register_blueprint(home.blueprint)  # the other functions serve the pages of their own subjects
errors.install_unknown(blueprint)
HERE = Path(__file__).parent
STATIC = HERE / "static"
# No inline script or style and no other host.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCUMENT_CACHED_SECONDS = 300  # a deployment changes it


@blueprint.get("/openapi.json")
@operation("This document", tag="Operation", answers={200: "application/json"})
def openapi_document() -> Response:
    return public(_document(), "application/json", DOCUMENT_CACHED_SECONDS)


@cache
def _document() -> bytes:
    return (HERE / "openapi.json").read_bytes()


@blueprint.get("/docs")
def docs() -> Any:
    if request.path.endswith("/"):
        return redirect("../docs")  # the page's links are relative, for the sake of a stage prefix
    page = public(_docs(site().name, _address()), "text/html", DOCUMENT_CACHED_SECONDS)
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


def _address() -> str:
    """The page can also be read while the address cannot."""
    try:
        return peers.base_url()
    except Unavailable:
        return "https://…"


@lru_cache(1)
def _docs(name: str, address: str) -> bytes:
    """With the site's name and address, and with each file's hash in the link to it, so that a changed file is fetched
    at once."""
    page = _assets()["docs.html"].decode().replace("%SITE%", escape(name)).replace("%BASE_URL%", escape(address))
    return re.sub(r'"static/([^"]+)"', lambda link: f'"static/{link[1]}?v={assets.version(link[1])}"', page).encode()


@blueprint.get("/docs/<path:name>")
def docs_asset(name: str) -> Response:
    """Errors: NotFound, also for a path outside the folder."""
    if name not in _assets():
        raise NotFound()
    return public(_assets()[name], assets.media_type(name), DOCUMENT_CACHED_SECONDS)


@cache
def _assets() -> dict[str, bytes]:
    """By their path below `static`: a fixed list, so that no name can lead to another file."""
    return {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}


handler = lambda_handler(blueprint)
