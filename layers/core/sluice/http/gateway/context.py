"""What a service must know about the current HTTP request."""

from flask import g, request

from sluice.http.errors import ledger_status
from sluice.http.gateway.connection import watch
from sluice.http.lambda_deadline import seconds_left
from sluice.services.gateway.request import RequestContext


def admitting(account_id: str) -> RequestContext:
    """The context of a request to be admitted. From here on its response carries the account's rate-limit headers."""
    g.rate_account = account_id
    return RequestContext(g.server_request_id, ledger_status, watch(request.environ), seconds_left)
