"""A span around each request of the gateway, up to the last byte of its answer."""

from flask import Flask, Response, g, request

from sluice.http.metrics import QUIET
from sluice.ports.usage import Tracing

TRACED = "gateway"  # the blueprint


def install(app: Flask, tracing: Tracing | None) -> None:
    """`tracing`: None where traces are off, which then cost nothing."""
    if tracing is None:
        return

    @app.before_request
    def begin() -> None:
        if request.blueprint is None or request.blueprint.partition(".")[0] != TRACED or request.path in QUIET:
            return
        route = request.url_rule.rule if request.url_rule else ""
        tracing.begin(request.method, route, g.server_request_id, request.headers.get("traceparent", ""))
        g.traced = True

    @app.after_request
    def finish(response: Response) -> Response:
        if "traced" in g:
            status, code = response.status_code, g.get("error_code", "")
            response.call_on_close(lambda: tracing.end(status, code))
        return response
