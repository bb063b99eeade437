"""Signing up, in and out. What an address's owner alone may know is said in a mail, never on a page."""

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings, wiring
from sluice.domain import errors
from sluice.http import calls
from sluice.http.auth import Caller
from sluice.http.models_accounts import ForgotPasswordBody, LoginBody
from sluice.http.models_registration import RegisterBody, ResendBody
from sluice.http.session_cookie import set_session_cookie
from sluice.pages import forms, links
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.services.sessions import end_session

blueprint = pages("signing")
# What a page that was redirected to says; a fixed table, so that a link can make it say nothing else.
LOGIN_NOTES = {
    "out": "You are logged out.",
    "ended": "That was this session: it is ended.",
    "deleted": "Your account is deleted: its API tokens are dead, and what was held about you is erased.",
}


@blueprint.get("/sign-up")
def sign_up_form() -> Response:
    return page("sign_up.html")


@blueprint.post("/sign-up")
def sign_up() -> Response:
    try:
        body = forms.posted(RegisterBody)
        calls.register(body)
    except errors.ValidationFailed as exc:
        return page("sign_up.html", 422, form=forms.filled().with_problems(exc.problems))
    return _look_into_your_mail(body.email, "sign-up")


@blueprint.get("/resend-verification")
def resend_form() -> Response:
    return page("resend.html")


@blueprint.post("/resend-verification")
def resend() -> Response:
    try:
        body = forms.posted(ResendBody)
        calls.resend_verification(body.email)
    except errors.ValidationFailed as exc:
        return page("resend.html", 422, form=forms.filled().with_problems(exc.problems))
    return _look_into_your_mail(body.email, "resend")


@blueprint.get("/forgot-password")
def forgot_form() -> Response:
    return page("forgot.html")


@blueprint.post("/forgot-password")
def forgot() -> Response:
    try:
        body = forms.posted(ForgotPasswordBody)
        calls.request_password_reset(body.email)
    except errors.ValidationFailed as exc:
        return page("forgot.html", 422, form=forms.filled().with_problems(exc.problems))
    return _look_into_your_mail(body.email, "forgot")


def _look_into_your_mail(email: str, why: str) -> Response:
    """The same for every address, known or not. On a local run it says where mails land, for there is no mailbox."""
    outbox = settings.common().local and settings.mailer().mail == "outbox"
    return page("mail_sent.html", email=email, why=why, outbox=outbox)


@blueprint.get("/login")
def login_form() -> Response:
    note = LOGIN_NOTES.get(request.args.get("note", ""), "")
    return _login_page(200, forms.Form(), note or ("Log in to go on." if "next" in request.args else ""))


@blueprint.post("/login")
def log_in() -> AnyResponse:
    """A new session every time, so none that someone else planted lives on."""
    try:
        logged_in = calls.log_in(forms.posted(LoginBody))
    except (
        errors.ValidationFailed,
        errors.InvalidCredentials,
        errors.EmailNotVerified,
        errors.AccountSuspended,
    ) as exc:
        return _refused(exc)
    response = see(links.place(request.form.get("next")))
    set_session_cookie(response, logged_in.new.session_token, settings.accounts().session_hours * 3600)
    return response


def _refused(error: errors.SluiceError) -> Response:
    from sluice.http.errors import row_for

    problems = error.problems if isinstance(error, errors.ValidationFailed) else ()
    problems = problems or (errors.FieldProblem("email", error.message),)
    unverified = isinstance(error, errors.EmailNotVerified)
    return _login_page(row_for(type(error)).status, forms.filled().with_problems(problems), "", unverified)


def _login_page(status: int, form: forms.Form, note: str, unverified: bool = False) -> Response:
    wanted = request.values.get("next", "")
    return page(
        "login.html", status, form=form, note=note, unverified=unverified, next=wanted if wanted in links.PLACES else ""
    )


@blueprint.get("/logout")
def logout_form() -> Response:
    return page("logout.html")


@blueprint.post("/logout")
@members
def log_out(caller: Caller) -> AnyResponse:
    end_session(caller.session_id, caller.account_id, sessions=wiring.session_store())
    response = see("/login", note="out")
    set_session_cookie(response, "", 0)
    return response
