"""`/`: what this is and the next three steps; and the files that pages load."""

from flask import Response

from sluice import wiring
from sluice.pages import assets
from sluice.pages.blueprints import pages
from sluice.pages.render import page

blueprint = pages("home")
CACHED_SECONDS = 86_400  # links carry the content's hash, so an old copy is never shown for a new one


@blueprint.get("/")
def home() -> Response:
    return page("home.html", base_url=wiring.base_url())


@blueprint.get("/static/<name>")
def asset(name: str) -> Response:
    """Errors: NotFound."""
    response = Response(assets.content(name), mimetype=assets.ASSETS[name].media_type)
    response.headers["Cache-Control"] = f"public, max-age={CACHED_SECONDS}"
    return response
