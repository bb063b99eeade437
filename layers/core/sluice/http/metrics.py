"""Counts and logs every answer by its route, and counts refusals on /v1 by their error code."""

import logging
import time

from flask import Flask, Response

from sluice.domain.usage import measures
from sluice.http import errors
from sluice.http.here import asked, notes
from sluice.ports.usage import Metrics

log = logging.getLogger("sluice.access")

UNSERVED = "(none)"
QUIET = frozenset({"/healthz", "/metrics"})  # machines call them every few seconds: counted, but not logged


def install(app: Flask, metrics: Metrics) -> None:
    @app.after_request
    def observe(response: Response) -> Response:
        # All unknown paths share one label, because callers choose paths and each label costs memory.
        request, said = asked(), notes()
        rule = request.url_rule
        route, method = (rule.rule, request.method) if rule is not None else (UNSERVED, "(any)")
        metrics.count(measures.HTTP_REQUESTS, method=method, route=route, status=str(response.status_code))
        if "error_code" in said and errors.takes_api_token(request.path):
            metrics.count(measures.REFUSALS, reason=said.error_code)
        metrics.flush()
        if rule is not None and route not in QUIET:
            _log(method, route, response.status_code)
        return response


def _log(method: str, route: str, status: int) -> None:
    """Logs the route, never the path or query, because a link's query holds a mailed code. A stream's time ends at its
    first byte."""
    extra = {"method": method, "route": route, "status": status}
    said = notes()
    if "started_ns" in said:
        extra["seconds"] = round((time.monotonic_ns() - said.started_ns) / 1e9, 4)
    if "error_code" in said:
        extra["code"] = said.error_code
    log.info("answered", extra=extra)
