"""What a service must know about the current HTTP request."""

from flask import g, request

from sluice.domain.tokens import Claims
from sluice.domain.usage.calls import mark
from sluice.http.errors import ledger_status
from sluice.http.gateway.connection import watch
from sluice.http.lambda_deadline import seconds_left
from sluice.services.gateway.request import RequestContext


def known(account_id: str, token_id: str) -> None:
    """From here on the response carries the account's rate-limit headers, and a refusal is counted."""
    g.known = account_id, token_id


def admitting(claims: Claims) -> RequestContext:
    """The context of a request to be admitted."""
    known(claims.account_id, claims.token_id)
    return RequestContext(g.server_request_id, ledger_status, watch(request.environ), seconds_left, _call())


def _call() -> str | None:
    """The mark of an attempt: of requests with a JSON body, which is read by now, from OpenAI's SDKs."""
    attempt = request.headers.get("x-stainless-retry-count")
    if attempt is None or not request.is_json:
        return None
    return mark(attempt, request.headers.get("Authorization", ""), request.path, request.get_data(cache=True))
