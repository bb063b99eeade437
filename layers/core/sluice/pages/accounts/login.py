"""Login and logout, and the request for a link to set a forgotten password."""

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http.accounts.requests import ForgotPasswordBody, LoginBody
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller
from sluice.http.session_cookie import without_session
from sluice.pages import forms, links
from sluice.pages.accounts.mail_sent import form_or_sent, mailing
from sluice.pages.accounts.second_step import entered
from sluice.pages.blueprints import members_before_terms, pages
from sluice.pages.render import page, see
from sluice.pages.words import _, later, noted
from sluice.wiring.accounts import login, password_reset, sessions

blueprint = pages("login")
# Messages after a redirect. The table is fixed, so that a link cannot make the page show other text.
LOGIN_NOTES = {
    "out": later("You are logged out."),
    "ended": later("You are logged out: that was this session."),
    "expired": later("That took too long, or too many tries. Log in again."),
    "link": later(
        "An account with your address exists already. Log in to it as you always do, and you can link the two."
    ),
    "deleted": later("Your account is deleted: its API tokens no longer work, and its data is erased."),
}


@blueprint.get("/login")
def login_form() -> Response:
    note = noted(LOGIN_NOTES)
    return _login_page(200, forms.Form(), note or (_("Log in to continue.") if "next" in request.args else ""))


@blueprint.post("/login")
def log_in() -> AnyResponse:
    """Always makes a new session, so that a planted one is useless, and ends the one this browser had."""
    try:
        body = forms.posted(LoginBody)
        outcome = login().log_in(body.email, body.password, visitor())
    except (
        errors.ValidationFailed,
        errors.InvalidCredentials,
        errors.EmailNotVerified,
        errors.AccountSuspended,
    ) as exc:
        unverified = isinstance(exc, errors.EmailNotVerified)
        return _login_page(*forms.refused(exc, "email"), unverified=unverified)
    return entered(outcome, request.form.get("next"))


def _login_page(status: int, form: forms.Form, note: str = "", unverified: bool = False) -> Response:
    wanted = request.values.get("next", "")
    return page(
        "login.html",
        status,
        form=form,
        note=note,
        unverified=unverified,
        next=wanted if links.is_place(wanted) else "",
    )


@blueprint.get("/logout")
def logout_form() -> Response:
    return page("logout.html")


@blueprint.post("/logout")
@members_before_terms
def log_out(caller: Caller) -> AnyResponse:
    sessions().end(caller.account_id, caller.session_id)
    return without_session(see("/login", note="out"))


@blueprint.get("/forgot-password")
def forgot_form() -> Response:
    return form_or_sent("forgot.html", "forgot")


@blueprint.post("/forgot-password")
def forgot() -> AnyResponse:
    return mailing(ForgotPasswordBody, lambda body: password_reset().request(body.email, visitor()), "forgot.html")
