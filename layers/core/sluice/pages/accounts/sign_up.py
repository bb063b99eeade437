"""Sign-up. What only the address's owner may know is sent by mail, never shown on a page."""

from flask import Response

from sluice.http.accounts.requests import RegisterBody, ResendBody
from sluice.http.accounts.visitor import visitor
from sluice.pages.accounts.mail_sent import mailing
from sluice.pages.blueprints import pages
from sluice.pages.render import page
from sluice.wiring.accounts import registration

blueprint = pages("sign_up")


@blueprint.get("/sign-up")
def sign_up_form() -> Response:
    return page("sign_up.html")


@blueprint.post("/sign-up")
def sign_up() -> Response:
    def register(body: RegisterBody) -> None:
        registration().register(body.email, body.password, body.name, visitor())

    return mailing(RegisterBody, register, "sign-up")


@blueprint.get("/resend-verification")
def resend_form() -> Response:
    return page("resend.html")


@blueprint.post("/resend-verification")
def resend() -> Response:
    return mailing(ResendBody, lambda body: registration().resend(body.email, visitor()), "resend")
