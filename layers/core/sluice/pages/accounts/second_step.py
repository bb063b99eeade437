"""The second step of a login, and the end of every login by pages: a session, or a page that asks for a factor."""

from flask import Response, request
from pydantic_core import from_json
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain import errors
from sluice.domain.accounts.factors import QUESTION_MS, ChallengeInvalid, Proof
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import HOST_ONLY, now_ms, require_session
from sluice.http.session_cookie import with_session
from sluice.pages import forms, links
from sluice.pages.blueprints import pages
from sluice.pages.render import page, see
from sluice.services.accounts.sign_in import FactorRequired, LoggedIn
from sluice.wiring import accounts as rarely_used  # not built during INIT
from sluice.wiring import peers
from sluice.wiring.accounts import sessions

blueprint = pages("second_step")
SCRIPTS = ("passkeys.js",)
MAX_CREDENTIAL = 20_000


def entered(outcome: LoggedIn | FactorRequired, wanted: str | None) -> AnyResponse:
    """Where a proven first factor leads: with a session to `wanted` (a name of `links`), or to the second step."""
    if isinstance(outcome, FactorRequired):
        return _with_challenge(see("/login/factor", next=wanted), outcome.challenge, QUESTION_MS // 1000)
    _end_the_one_before()
    response = see(links.place(wanted, admin=outcome.account.role == "admin"))
    return with_session(response, outcome.new.session_token)


@blueprint.get("/login/factor")
def ask() -> AnyResponse:
    return _page(200, forms.Form())


@blueprint.post("/login/factor")
def answer() -> AnyResponse:
    try:
        logged_in = rarely_used.sign_in().answer(_challenge(), posted_proof(), visitor())
    except ChallengeInvalid:
        return _begin_again()
    except (errors.InvalidCredentials, errors.ValidationFailed) as exc:
        return _page(*forms.refused(exc, "code"))
    return _with_challenge(entered(logged_in, request.form.get("next")), "", 0)


def posted_proof() -> Proof:
    """Errors: ValidationFailed."""
    credential = request.form.get("credential", "")
    if not credential:
        return Proof(request.form.get("password", "")[:1024], request.form.get("code", "").strip()[:64])
    return Proof(credential=posted_credential(credential))


def posted_credential(text: str) -> dict[str, object]:
    """What a script put into the form. Errors: ValidationFailed."""
    try:
        found = from_json(text if len(text) <= MAX_CREDENTIAL else "")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise errors.ValidationFailed((errors.FieldProblem("code", "The passkey's answer could not be read."),))
    return found


def passkey_place() -> str:
    """The origin at which this browser must open the page for its passkeys, or empty if it is there."""
    origin = peers.passkeys().origin() or ""
    return "" if origin == request.host_url.rstrip("/") else origin


def _page(status: int, form: forms.Form) -> AnyResponse:
    try:
        required = rarely_used.sign_in().required(_challenge(), now_ms())
    except ChallengeInvalid:
        return _begin_again()
    wanted = request.values.get("next", "")
    shown: Response = page(
        "login_factor.html",
        status,
        scripts=SCRIPTS if required.passkey else (),
        form=form,
        required=required,
        elsewhere=passkey_place() if required.passkey else "",
        next=wanted if links.is_place(wanted) else "",
    )
    return shown


def _begin_again() -> AnyResponse:
    return _with_challenge(see("/login", note="expired"), "", 0)


def _end_the_one_before() -> None:
    """ASVS 7.2.4. Not for logins by the API, because a program may hold several sessions on purpose."""
    try:
        before = require_session(leaving=True)
        sessions().end(before.account_id, before.session_id)
    except errors.SluiceError:
        return  # there was none, or it will expire


def _challenge() -> str:
    return request.cookies.get(_cookie(), "")[:256]


def _cookie() -> str:
    return HOST_ONLY + "sluice_factor" if settings.common().https else "sluice_factor"


def _with_challenge(response: AnyResponse, challenge: str, seconds: int) -> AnyResponse:
    https = settings.common().https
    response.set_cookie(_cookie(), challenge, max_age=seconds, path="/", secure=https, httponly=True, samesite="Lax")
    return response
