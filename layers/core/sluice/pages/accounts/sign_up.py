"""Sign-up. What only the address's owner may know is sent by mail, never shown on a page."""

from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain.errors import Forbidden
from sluice.http.accounts.requests import RegisterBody, ResendBody
from sluice.http.accounts.visitor import visitor
from sluice.pages.accounts.mail_sent import form_or_sent, mailing
from sluice.pages.blueprints import pages
from sluice.pages.render import page
from sluice.wiring.accounts import registration

blueprint = pages("sign_up")


@blueprint.get("/sign-up")
def sign_up_form() -> Response:
    return form_or_sent("sign_up.html", "sign-up")


@blueprint.post("/sign-up")
def sign_up() -> AnyResponse:
    def register(body: RegisterBody) -> None:
        registration().register(body.email, body.password, body.name, visitor())

    try:
        return mailing(RegisterBody, register, "sign_up.html")
    except Forbidden:  # the page says why
        return page("sign_up.html", 403)


@blueprint.get("/resend-verification")
def resend_form() -> Response:
    return form_or_sent("resend.html", "resend")


@blueprint.post("/resend-verification")
def resend() -> AnyResponse:
    try:
        return mailing(ResendBody, lambda body: registration().resend(body.email, visitor()), "resend.html")
    except Forbidden:
        return page("sign_up.html", 403)
