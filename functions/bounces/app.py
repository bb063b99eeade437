"""Addresses that bounced, or whose owners reported spam, get no more mails: SES's notices through SNS, and
`/mail/notices/{provider}` for other providers."""

import logging
import time
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, request

from sluice.adapters.mails.provider_notices import posted
from sluice.adapters.mails.ses_notices import undeliverable
from sluice.domain.errors import NotAuthenticated, NotFound, StoreUnavailable, Unavailable
from sluice.domain.mails.mail import Suppression
from sluice.http.logging import configure
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import operation
from sluice.wiring import peers
from sluice.wiring.mails import suppressions
from sluice.wiring.stores import models_client  # noqa: F401  # built during INIT

blueprint = Blueprint("bounces", __name__)
log = logging.getLogger("sluice.bounces")


@blueprint.post("/mail/notices/<provider>")
@operation(
    "Report a bounce or a complaint",
    tag="Operation",
    status=204,
    answers={204: None},
    errors=(NotFound, NotAuthenticated, Unavailable, StoreUnavailable),
    description="For the webhooks of `postmark`, `mailgun` and `resend`, proved by `SLUICE_MAIL_NOTICES_SECRET`; 404 "
    "without one. Repeating a notice changes nothing.",
)
def notices(provider: str) -> None:
    secret = peers.mail_notices_secret()
    if not secret:
        raise NotFound()
    _note(posted(provider, secret, request.get_data(), lambda name: request.headers.get(name, ""), time.time()))


serve = lambda_handler(blueprint)


def handler(event: dict[str, Any], context: object) -> Any:
    """A batch from SNS → the number of notices noted and ignored. Repeating it changes nothing. Or API Gateway's event.

    Errors: StoreUnavailable; Lambda then repeats the whole batch twice, and sends it to the dead-letter queue.
    """
    if "httpMethod" in event:
        return serve(event, context)
    configure()
    return _note(undeliverable(event))


def _note(found: Iterable[tuple[str, Suppression]]) -> dict[str, int]:
    noted = ignored = 0
    for address, reason in found:
        if suppressions().add(address, reason, time.time_ns() // 1_000_000):
            noted += 1
        else:
            ignored += 1
    log.info("notices of mails", extra={"noted": noted, "ignored": ignored})
    return {"noted": noted, "ignored": ignored}
