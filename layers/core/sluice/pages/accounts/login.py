"""Login and logout, and the request for a link to set a forgotten password."""

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http.accounts.requests import ForgotPasswordBody, LoginBody
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, require_session
from sluice.http.session_cookie import with_session, without_session
from sluice.pages import forms, links
from sluice.pages.accounts.mail_sent import form_or_sent, mailing
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.wiring.accounts import login, password_reset, sessions

blueprint = pages("login")
# Messages after a redirect. The table is fixed, so that a link cannot make the page show other text.
LOGIN_NOTES = {
    "out": "You are logged out.",
    "ended": "You are logged out: that was this session.",
    "deleted": "Your account is deleted: its API tokens no longer work, and its data is erased.",
}


@blueprint.get("/login")
def login_form() -> Response:
    note = LOGIN_NOTES.get(request.args.get("note", ""), "")
    return _login_page(200, forms.Form(), note or ("Log in to continue." if "next" in request.args else ""))


@blueprint.post("/login")
def log_in() -> AnyResponse:
    """Always makes a new session, so that a planted one is useless, and ends the one this browser had."""
    try:
        body = forms.posted(LoginBody)
        logged_in = login().log_in(body.email, body.password, visitor())
    except (
        errors.ValidationFailed,
        errors.InvalidCredentials,
        errors.EmailNotVerified,
        errors.AccountSuspended,
    ) as exc:
        unverified = isinstance(exc, errors.EmailNotVerified)
        return _login_page(*forms.refused(exc, "email"), unverified=unverified)
    _end_the_one_before()
    response = see(links.place(request.form.get("next"), admin=logged_in.account.role == "admin"))
    return with_session(response, logged_in.new.session_token)


def _end_the_one_before() -> None:
    """ASVS 7.2.4. Not for logins by the API, because a program may hold several sessions on purpose."""
    try:
        before = require_session(leaving=True)
        sessions().end(before.account_id, before.session_id)
    except errors.SluiceError:
        return  # there was none, or it will expire


def _login_page(status: int, form: forms.Form, note: str = "", unverified: bool = False) -> Response:
    wanted = request.values.get("next", "")
    return page(
        "login.html", status, form=form, note=note, unverified=unverified, next=wanted if links.is_place(wanted) else ""
    )


@blueprint.get("/logout")
def logout_form() -> Response:
    return page("logout.html")


@blueprint.post("/logout")
@members
def log_out(caller: Caller) -> AnyResponse:
    sessions().end(caller.account_id, caller.session_id)
    return without_session(see("/login", note="out"))


@blueprint.get("/forgot-password")
def forgot_form() -> Response:
    return form_or_sent("forgot.html", "forgot")


@blueprint.post("/forgot-password")
def forgot() -> AnyResponse:
    return mailing(ForgotPasswordBody, lambda body: password_reset().request(body.email, visitor()), "forgot.html")
