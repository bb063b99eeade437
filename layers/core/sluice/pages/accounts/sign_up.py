"""Sign-up. What only the address's owner may know is sent by mail, never shown on a page."""

from flask import Response

from sluice.domain import errors
from sluice.http.accounts.requests import RegisterBody, ResendBody
from sluice.http.accounts.visitor import visitor
from sluice.pages import forms
from sluice.pages.accounts.mail_sent import look_into_your_mail
from sluice.pages.blueprints import pages
from sluice.pages.render import page
from sluice.wiring.accounts import registration

blueprint = pages("sign_up")


@blueprint.get("/sign-up")
def sign_up_form() -> Response:
    return page("sign_up.html")


@blueprint.post("/sign-up")
def sign_up() -> Response:
    try:
        body = forms.posted(RegisterBody)
        registration().register(body.email, body.password, body.name, visitor())
    except errors.ValidationFailed as exc:
        return page("sign_up.html", 422, form=forms.filled().with_problems(exc.problems))
    return look_into_your_mail(body.email, "sign-up")


@blueprint.get("/resend-verification")
def resend_form() -> Response:
    return page("resend.html")


@blueprint.post("/resend-verification")
def resend() -> Response:
    try:
        body = forms.posted(ResendBody)
        registration().resend(body.email, visitor())
    except errors.ValidationFailed as exc:
        return page("resend.html", 422, form=forms.filled().with_problems(exc.problems))
    return look_into_your_mail(body.email, "resend")
