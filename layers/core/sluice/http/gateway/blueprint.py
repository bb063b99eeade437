"""What `/v1` blueprints do around their views: limit concurrent requests, and add rate-limit headers to the answer."""

from flask import Blueprint, Response

from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.ratelimit_headers import headers as rate_headers
from sluice.domain.gateway.ratelimit_headers import of_visitor
from sluice.domain.ids import request_time_ms
from sluice.domain.usage.pricing import dollars
from sluice.http.gateway import repeats, waiting
from sluice.http.gateway.context import speaks_anthropic
from sluice.http.here import asked, notes
from sluice.services.gateway.exchange import CLIENT_GONE_STATUS, ClientGone
from sluice.services.gateway.places import Place
from sluice.wiring.gateway import gateway, v1_places

PRICE = "x-sluice-price-usd"
UPSTREAM = "x-sluice-upstream"


def install(blueprint: Blueprint) -> None:
    blueprint.before_request(_take_place)
    blueprint.teardown_request(_leave_unanswered)
    blueprint.after_request(_finish)
    blueprint.register_error_handler(ClientGone, _client_gone)


def _take_place() -> None:
    if asked().path == "/healthz":  # the health check must answer even if every place is taken
        return
    place = Place(v1_places())
    place.take()
    notes().v1_place = place


def _leave_unanswered(exc: BaseException | None) -> None:
    """Free the place of a request that ended without `_finish`, which otherwise frees it."""
    place = notes().pop("v1_place", None)
    if place is not None:
        place.leave()


def _finish(response: Response) -> Response:
    """A streamed answer outlives the request: its place is free when the last byte is sent or the caller is gone."""
    said = notes()
    known, status = said.get("known"), response.status_code
    counts = known is not None and (status >= 400 or asked().method == "POST")
    grant = gateway().admission.seen(known[0]) if counts and status != 401 else None
    if grant is not None:  # admitted or refused; a 401 tells nothing about the account
        response.headers._list += _rate_headers(grant).items()  # nothing else sets these, nor has line breaks
    if known is not None and "error_code" in said:
        _note_refusal(known[0], known[1], status)
    if (settled := said.get("settled")) and (
        cost_micro_usd := settled[0].cost_micro_usd
    ) is not None:  # a stream is not, yet
        response.headers[PRICE] = dollars(cost_micro_usd)
    if upstreams := said.get("asked"):
        response.headers[UPSTREAM] = upstreams[-1]
    if speaks_anthropic():
        response.headers["request-id"] = said.request_id  # where Anthropic's SDKs read it
    waiting.tell(response)
    if "claim" in said:
        repeats.keep(response)
    place = said.pop("v1_place", None)
    if place is not None:
        response.call_on_close(place.leave)
    return response


def _rate_headers(grant: Grant) -> dict[str, str]:
    """A publishable API token tells its visitors theirs and its own, and nothing of the account."""
    now_ns, said = gateway().clock(), notes()
    if "public_family" not in said:
        return rate_headers(grant, now_ns)
    rpm, tat_ns = said.get("visit", (0, 0))
    return of_visitor(grant.token_limits.get(said.public_family), rpm, tat_ns, now_ns)


def _note_refusal(account_id: str, token_id: str, status: int) -> None:
    from sluice.domain.usage.refusals import Refusal
    from sluice.wiring.usage import refusals

    request, said = asked(), notes()
    endpoint = request.url_rule.rule if request.url_rule else request.path
    request_id = said.server_request_id
    refusal = Refusal(request_id, request_time_ms(request_id), token_id, said.error_code, status, endpoint)
    refusals().note(account_id, refusal)


def _client_gone(exc: Exception) -> Response:
    """The request is settled already, and nobody reads this answer."""
    return Response(status=CLIENT_GONE_STATUS)
