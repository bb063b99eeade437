"""`/auth/register` and `/auth/resend-verification`: the same answer for every address, known or not."""

import email_validator  # noqa: F401  # during INIT, because every registration needs it
from flask import Blueprint

from sluice.domain import errors
from sluice.http.accounts.requests import RegisterBody, ResendBody, VerificationSent
from sluice.http.accounts.visitor import visitor
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import operation
from sluice.pages.accounts import sign_up as sign_up_pages
from sluice.wiring.accounts import registration
from sluice.wiring.peers import common_passwords, password_hashes  # noqa: F401  # built during INIT

blueprint = Blueprint("registration", __name__)
blueprint.register_blueprint(sign_up_pages.blueprint)
TAG = "Authentication"


@blueprint.post("/auth/register")
@operation(
    "Register",
    tag=TAG,
    status=202,
    errors=(errors.Forbidden, errors.TooManyAttempts, errors.Overloaded, errors.StoreUnavailable),
    description="The answer is the same whether or not the address is known; a known one gets a mail that says so. The "
    "mailed link verifies the password of this registration, whatever others registered beside it. An address that "
    "nobody verifies is free again after 7 days.",
)
def sign_up(body: RegisterBody) -> VerificationSent:
    registration().register(body.email, body.password, body.name, visitor())
    return VerificationSent()


@blueprint.post("/auth/resend-verification")
@operation(
    "Ask for the verification mail again",
    tag=TAG,
    status=202,
    errors=(errors.TooManyAttempts, errors.StoreUnavailable),
    description="The same answer for every address. Each registration that waits for its link, at most three, gets the "
    "same link again.",
)
def resend(body: ResendBody) -> VerificationSent:
    registration().resend(body.email, visitor())
    return VerificationSent()


handler = lambda_handler(blueprint)
