"""What a service must know about the current HTTP request."""

from functools import partial

from sluice.domain.tokens import Claims
from sluice.domain.usage.calls import mark
from sluice.http.errors import ledger_status, request_form
from sluice.http.gateway.connection import watch
from sluice.http.here import asked, notes
from sluice.http.lambda_deadline import seconds_left
from sluice.services.gateway.request import RequestContext


def known(account_id: str, token_id: str) -> None:
    """From here on the response carries the account's rate-limit headers, and a refusal is counted."""
    notes().known = account_id, token_id


def speaks_anthropic() -> bool:
    """Whether the caller speaks Anthropic's dialect."""
    return request_form() == "anthropic"


def admitting(claims: Claims) -> RequestContext:
    """The context of a request to be admitted."""
    known(claims.account_id, claims.token_id)
    said = notes()
    status_of = partial(ledger_status, form="anthropic") if speaks_anthropic() else ledger_status
    said.settled, said.asked = [], []
    gone = _stays if "claim" in said else watch(asked().environ)
    told = said.settled.append, said.asked.append
    return RequestContext(said.server_request_id, status_of, gone, seconds_left, _call(), *told)


def _stays() -> bool:
    """A request with an `Idempotency-Key` is answered also if its caller has gone, who may ask for the answer again."""
    return False


def _call() -> str | None:
    """The mark of an attempt: of requests with a JSON body, which is read by now, from OpenAI's SDKs."""
    request = asked()
    attempt = request.environ.get("HTTP_X_STAINLESS_RETRY_COUNT")
    if attempt is None or not request.is_json:
        return None
    credential = request.headers.get("Authorization", "") + request.headers.get("x-api-key", "")
    return mark(attempt, credential, request.path, request.get_data(cache=True))
