"""`/auth/register` and `/auth/resend-verification`: the same answer for every address, known or not. `/auth/oidc…`: a
provider's word makes an account, or logs in; `/account/identities/…`: what is linked to one."""

import email_validator  # noqa: F401  # during INIT, because every registration needs it
from flask import Blueprint
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http.accounts.requests import (
    ProviderInfo,
    ProviderList,
    RegisterBody,
    ResendBody,
    VerificationSent,
    Verified,
)
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.pages.accounts import invitation as invitation_pages
from sluice.pages.accounts import providers as provider_pages
from sluice.pages.accounts import sign_up as sign_up_pages
from sluice.pages.links import at
from sluice.wiring.accounts import invited_registration, linked_identities, registration
from sluice.wiring.peers import common_passwords, password_hashes  # noqa: F401  # built during INIT
from sluice.wiring.settings import sign_in_providers

blueprint = Blueprint("registration", __name__)
blueprint.register_blueprint(sign_up_pages.blueprint)
blueprint.register_blueprint(invitation_pages.blueprint)
TAG = "Authentication"


@blueprint.post("/auth/register")
@operation(
    "Register",
    tag=TAG,
    answers={202: VerificationSent, 201: Verified},
    errors=(
        errors.MailedCodeInvalid,
        errors.Forbidden,
        errors.TooManyAttempts,
        errors.Overloaded,
        errors.StoreUnavailable,
    ),
    description="With an `invitation` the account is ready at once (201), because its mail proved the address. Without "
    "one a link is mailed (202), and where sign-up is by invitation it is 403. That answer is the same whether or not "
    "the address is known; a known one gets a mail that says so. The mailed link verifies the password of this "
    "registration, whatever others registered beside it. An address that nobody verifies is free again after 7 days.",
)
def sign_up(body: RegisterBody) -> VerificationSent | tuple[Verified, int]:
    if body.invitation is not None:
        invited_registration().register(body.invitation, body.email, body.password, body.name, visitor())
        return Verified(), 201
    registration().register(body.email, body.password, body.name, visitor())
    return VerificationSent()


@blueprint.post("/auth/resend-verification")
@operation(
    "Ask for the verification mail again",
    tag=TAG,
    status=202,
    errors=(errors.Forbidden, errors.TooManyAttempts, errors.StoreUnavailable),
    description="The same answer for every address. Each registration that waits for its link, at most three, gets the "
    "same link again.",
)
def resend(body: ResendBody) -> VerificationSent:
    registration().resend(body.email, visitor())
    return VerificationSent()


@blueprint.get("/auth/oidc")
@operation(
    "The providers that people can log in with",
    tag=TAG,
    errors=(errors.Unavailable,),
    description="Other sites that the owner of this one lets say who somebody is: OpenID Connect, and GitHub.",
)
def providers() -> ProviderList:
    known = sign_in_providers()
    return ProviderList(
        data=[ProviderInfo(id=one.name, name=one.title, start_url=at(f"/auth/oidc/{one.name}/start")) for one in known]
    )


@provider_pages.blueprint.get("/auth/oidc/<provider>/start")  # errors are pages there, for a browser
@operation(
    "Log in by a provider: open it in a browser",
    tag=TAG,
    answers={303: "text/html"},
    errors=(errors.NotAuthenticated, errors.NotFound, errors.TooManyAttempts, errors.Unavailable),
    description="Leads to the provider, which leads back to `/auth/oidc/{provider}/callback`, the one redirect URI to "
    "register there. `next`: one of this site's pages, by its name.",
)
def start(provider: str) -> AnyResponse:
    return provider_pages.to_the_provider(provider)


@provider_pages.blueprint.get("/auth/oidc/<provider>/callback")
@operation(
    "Where a provider leads back to",
    tag=TAG,
    answers={303: "text/html"},
    errors=(
        errors.InvalidCredentials,
        errors.NotAuthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.Unavailable,
    ),
    description="Logs in, with a second step where the account has a second factor, or makes an account for the "
    "verified address. An address that has an account is linked by that account only, once it is logged in.",
)
def back(provider: str) -> AnyResponse:
    return provider_pages.back_from_it(provider)


@blueprint.delete("/account/identities/<identity_id>")
@operation(
    "Unlink a sign-in provider",
    tag="Account",
    auth=Auth.SESSION,
    errors=(errors.NotFound, errors.ConfirmationRequired, errors.Conflict, errors.StoreUnavailable),
    description="Of those in `GET /account`. 409 for the last way in: an account without a password keeps one. The "
    "session must have shown the password or a second factor within 15 minutes: else 403 `confirmation_required`.",
)
def unlink(caller: Caller, identity_id: str) -> None:
    caller.require_fresh()
    linked_identities().unlink(caller.account_id, identity_id, visitor())


blueprint.register_blueprint(provider_pages.blueprint)
handler = lambda_handler(blueprint)
