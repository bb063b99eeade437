"""`/`: what Sluice is, its models, and the first three steps; and the files that pages load."""

from flask import Response, request

from sluice import settings
from sluice.domain.errors import StoreUnavailable
from sluice.http.auth import cookie_name
from sluice.http.public import public
from sluice.pages import assets, offer
from sluice.pages.blueprints import pages
from sluice.pages.render import page
from sluice.wiring import peers
from sluice.wiring.operations import all_users

blueprint = pages("home")
CACHED_SECONDS = 86_400  # links carry the content's hash, so an old copy is never used
HOUR_SECONDS, YEAR_SECONDS = 3600, 31_536_000

_somebody_is_here = False


@blueprint.get("/")
def home() -> Response:
    is_new = settings.common().local and _is_without_accounts()
    models = offer.offer().known()
    return page(
        "home.html",
        scripts=("copy.js", "typed.js"),
        base_url=peers.base_url(),
        is_new=is_new,
        admin_command=settings.common().admin_command,
        member=cookie_name() in request.cookies,
        models=models,
        model=offer.for_chat(models),
        priced=any(one.is_priced for one in models),
    )


def _is_without_accounts() -> bool:
    """Checked only on one machine and until the first account exists. On AWS this function may not read accounts."""
    global _somebody_is_here
    if _somebody_is_here:
        return False
    try:
        _somebody_is_here = all_users().are_more_than(0)
    except StoreUnavailable:
        return False
    return not _somebody_is_here


@blueprint.get("/embed.js")
def embed() -> Response:
    """A chat with a model, for pages of other origins. With `?v=` of its version it is cached for good."""
    is_named = request.args.get("v") == assets.version("embed.js")
    script = public(
        assets.content("embed.js"), assets.media_type("embed.js"), YEAR_SECONDS if is_named else HOUR_SECONDS
    )
    script.headers["Access-Control-Allow-Origin"] = "*"  # also for pages that check its hash
    script.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return script


@blueprint.get("/static/<name>")
def asset(name: str) -> Response:
    """Errors: NotFound."""
    return public(assets.content(name), assets.media_type(name), CACHED_SECONDS)
