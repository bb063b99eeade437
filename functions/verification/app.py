"""`/auth/verify-email`: redeems a mailed code, once, of a registration or of a change of address."""

from functools import cache
from typing import Any

from flask import Blueprint

from sluice import settings, wiring
from sluice.domain import errors
from sluice.http.audit import security_notes
from sluice.http.auth import now_ms
from sluice.http.client import client_address
from sluice.http.models_registration import Verified, VerifyBody
from sluice.http.operation import operation
from sluice.pages import mailed
from sluice.services.redeem_throttle import redeeming
from sluice.services.verify_address import verify_address

blueprint = Blueprint("verification", __name__)
blueprint.register_blueprint(mailed.addresses)


@blueprint.post("/auth/verify-email")
@operation(
    "Verify an email address with a mailed code",
    tag="Authentication",
    body=VerifyBody,
    answers={200: Verified},
    errors=(errors.MailedCodeInvalid, errors.ValidationFailed, errors.TooManyAttempts, errors.StoreUnavailable),
    description="Single use. Takes the code of a registration's mail, and that of a change of address: then the new "
    "address replaces the old one, which is told.",
)
def verify(body: VerifyBody) -> Verified:
    from sluice.adapters.keys import mailed_code_key

    with redeeming(wiring.throttles(), client_address(), now_ms()):
        verify_address(
            body.token,
            key=mailed_code_key(),
            accounts=wiring.account_store(),
            mails=wiring.mail_store(),
            now_ms=now_ms(),
            note=security_notes(),
        )
    return Verified()


@cache
def _wsgi() -> Any:
    from apig_wsgi import make_lambda_handler

    from sluice.http.app import create_app

    return make_lambda_handler(create_app([blueprint], https=settings.common().https))


def handler(event: dict[str, Any], context: object) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return _wsgi()(event, context)
