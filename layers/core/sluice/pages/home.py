"""`/`: what Sluice is, its models, and the first three steps; and the files that pages load."""

from pathlib import Path

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
        data_dir=_data_dir() if is_new else "",
        member=cookie_name() in request.cookies,
        models=models,
        model=offer.for_chat(models),
        priced=any(one.is_priced for one in models),
    )


def _data_dir() -> str:
    """For the command of a person in the folder of the project; empty where the command finds the store without it."""
    chosen = settings.common().data_dir.absolute()
    return "" if chosen == Path(".sluice").absolute() else str(chosen)


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


@blueprint.get("/static/<name>")
def asset(name: str) -> Response:
    """Errors: NotFound."""
    return public(assets.content(name), assets.media_type(name), CACHED_SECONDS)
