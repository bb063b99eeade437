"""`/auth/verify-email`: redeems a mailed code of a registration or of a change of address, once."""

from flask import Blueprint

from sluice.domain import errors
from sluice.http.accounts.requests import Verified, VerifyBody
from sluice.http.accounts.visitor import visitor
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import operation
from sluice.pages.accounts import mailed
from sluice.wiring.accounts import verification

blueprint = Blueprint("verification", __name__)
blueprint.register_blueprint(mailed.addresses)


@blueprint.post("/auth/verify-email")
@operation(
    "Verify an email address with a mailed code",
    tag="Authentication",
    errors=(errors.MailedCodeInvalid, errors.Forbidden, errors.TooManyAttempts, errors.StoreUnavailable),
    description="Single use. Takes the code of a registration, or of a change of address: then the new address "
    "replaces the old one, which gets a notice. 403 if nobody may make an account with this address any more.",
)
def verify(body: VerifyBody) -> Verified:
    verification().redeem(body.token, visitor())
    return Verified()


handler = lambda_handler(blueprint)
