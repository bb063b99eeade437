"""The switch of languages that every page has."""

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain import errors
from sluice.domain.languages import LANGUAGES
from sluice.http.auth import now_ms, require_session
from sluice.http.language import COOKIE
from sluice.pages import links
from sluice.pages.blueprints import pages
from sluice.pages.render import see
from sluice.wiring.accounts import profile

blueprint = pages("language")
A_YEAR_S = 365 * 24 * 3600


@blueprint.post(links.SWITCH)
def switch() -> AnyResponse:
    """Leads back to the page. The browser keeps the language, and so does the account that is logged in."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        raise errors.NotFound()
    answer = see(links.back(request.form.get("back", "")), token=request.form.get("token"))
    secure = settings.common().https
    answer.set_cookie(COOKIE, chosen, max_age=A_YEAR_S, secure=secure, httponly=True, samesite="Lax")
    _keep(chosen)
    return answer


def _keep(chosen: str) -> None:
    try:
        profile().update(require_session(before_terms=True).account_id, None, None, now_ms(), chosen)
    except errors.SluiceError:
        return  # nobody is logged in, or the store is away: the cookie has it
