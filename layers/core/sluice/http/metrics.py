"""Counts every answer by its route, and every refusal on /v1 by its error code."""

from flask import Flask, Response, g, request

from sluice.domain import measures
from sluice.ports import Metrics


def install(app: Flask, metrics: Metrics) -> None:
    @app.after_request
    def count(response: Response) -> Response:
        # A path nobody serves is one route, not one each: the caller chooses paths, and each label costs memory.
        route = request.url_rule.rule if request.url_rule else "(none)"
        status = str(response.status_code)
        metrics.count(measures.HTTP_REQUESTS, method=_method(), route=route, status=status)
        if "error_code" in g and request.path.startswith("/v1/"):
            metrics.count(measures.REFUSALS, reason=g.error_code)
        metrics.flush()
        return response


def _method() -> str:
    return request.method if request.url_rule else "(any)"
