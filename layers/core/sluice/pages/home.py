"""`/`: what this is and the next three steps; and the style sheet."""

from importlib.resources import files

from flask import Response

from sluice import settings
from sluice.domain.errors import NotFound
from sluice.pages.blueprints import pages
from sluice.pages.render import page

blueprint = pages("home")
ASSETS = {"sluice.css": "text/css", "favicon.svg": "image/svg+xml"}
CACHED_SECONDS = 86_400  # links carry the content's hash, so an old copy is never shown for a new one


@blueprint.get("/")
def home() -> Response:
    return page("home.html", base_url=settings.common().base_url.rstrip("/"))


@blueprint.get("/static/<name>")
def asset(name: str) -> Response:
    """Errors: NotFound: by a list, so no name leads anywhere else."""
    if name not in ASSETS:
        raise NotFound()
    response = Response(files("sluice.pages").joinpath("static", name).read_bytes(), mimetype=ASSETS[name])
    response.headers["Cache-Control"] = f"public, max-age={CACHED_SECONDS}"
    return response
