"""`/auth/verify-email`: redeems a mailed code of a registration or of a change of address, once."""

from typing import Any

from flask import Blueprint

from sluice.domain import errors
from sluice.http.accounts.requests import Verified, VerifyBody
from sluice.http.accounts.visitor import visitor
from sluice.http.on_lambda import wsgi
from sluice.http.operation import operation
from sluice.pages.accounts import mailed
from sluice.wiring.accounts import verification

blueprint = Blueprint("verification", __name__)
blueprint.register_blueprint(mailed.addresses)


@blueprint.post("/auth/verify-email")
@operation(
    "Verify an email address with a mailed code",
    tag="Authentication",
    body=VerifyBody,
    answers={200: Verified},
    errors=(errors.MailedCodeInvalid, errors.ValidationFailed, errors.TooManyAttempts, errors.StoreUnavailable),
    description="Single use. Takes the code of a registration, or of a change of address: then the new address "
    "replaces the old one, which gets a notice.",
)
def verify(body: VerifyBody) -> Verified:
    verification().redeem(body.token, visitor())
    return Verified()


def handler(event: dict[str, Any], context: object) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return wsgi(blueprint)(event, context)
