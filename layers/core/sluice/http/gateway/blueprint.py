"""What `/v1` blueprints do around their views: limit concurrent requests, and add rate-limit headers to the answer."""

from flask import Blueprint, Response, g, request

from sluice.domain.gateway.ratelimit_headers import headers as rate_headers
from sluice.services.gateway.exchange import CLIENT_GONE_STATUS, ClientGone
from sluice.wiring import services


def install(blueprint: Blueprint) -> None:
    blueprint.before_request(_take_place)
    blueprint.teardown_request(_leave_unanswered)
    blueprint.after_request(_finish)
    blueprint.register_error_handler(ClientGone, _client_gone)


def _take_place() -> None:
    if request.path == "/healthz":  # the health check must answer even if every place is taken
        return
    places = services.v1_places()
    places.enter()
    g.v1_place = places


def _leave_unanswered(exc: BaseException | None) -> None:
    """Free the place of a request that ended without `_finish`, which otherwise frees it."""
    places = g.pop("v1_place", None)
    if places is not None:
        places.leave()


def _finish(response: Response) -> Response:
    """Free the place when the last byte is sent or the caller has gone, because a stream outlives its request."""
    grant = services.gateway().admission.seen(g.rate_account) if "rate_account" in g else None
    if grant is not None:  # admitted or limited
        for name, value in rate_headers(grant, services.gateway().clock()).items():
            response.headers.add(name, value)  # `add` is faster than `update`, and nothing else sets these headers
    places = g.pop("v1_place", None)
    if places is not None:
        response.call_on_close(places.leave)
    return response


def _client_gone(exc: Exception) -> Response:
    """The request is settled already, and nobody reads this answer."""
    return Response(status=CLIENT_GONE_STATUS)
