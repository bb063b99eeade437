"""Counts and logs every answer by its route, and counts refusals on /v1 by their error code."""

import logging
import time

from flask import Flask, Response, g, request

from sluice.domain.usage import measures
from sluice.http import errors
from sluice.ports.usage import Metrics

log = logging.getLogger("sluice.access")

UNSERVED = "(none)"
QUIET = frozenset({"/healthz", "/metrics"})  # machines call them every few seconds: counted, but not logged


def install(app: Flask, metrics: Metrics) -> None:
    @app.after_request
    def observe(response: Response) -> Response:
        # All unknown paths share one label, because callers choose paths and each label costs memory.
        served = request.url_rule is not None
        route, method = (request.url_rule.rule, request.method) if request.url_rule else (UNSERVED, "(any)")
        metrics.count(measures.HTTP_REQUESTS, method=method, route=route, status=str(response.status_code))
        if "error_code" in g and errors.takes_api_token(request.path):
            metrics.count(measures.REFUSALS, reason=g.error_code)
        metrics.flush()
        if served and route not in QUIET:
            _log(method, route, response.status_code)
        return response


def _log(method: str, route: str, status: int) -> None:
    """Logs the route, never the path or query, because a link's query holds a mailed code. A stream's time ends at its
    first byte."""
    extra = {"method": method, "route": route, "status": status}
    if "started_ns" in g:
        extra["seconds"] = round((time.monotonic_ns() - g.started_ns) / 1e9, 4)
    if "error_code" in g:
        extra["code"] = g.error_code
    log.info("answered", extra=extra)
