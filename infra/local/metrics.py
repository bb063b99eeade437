"""`GET /metrics` of a local run, for loopback clients only, because the figures show who uses how much."""

from flask import Blueprint, Response, request

from infra.local.loopback import is_from_this_machine
from sluice.domain.errors import NotFound
from sluice.http.operation import operation
from sluice.wiring import peers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@operation("Figures for Prometheus", tag="Operation", answers={200: "text/plain"}, errors=(NotFound,))
def metrics() -> Response:
    """404 for other machines, behind a proxy, and for web pages."""
    if not is_from_this_machine(request):
        raise NotFound()
    from infra.local import figures as of_this_moment
    from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics

    figures = peers.metrics()
    if not isinstance(figures, PrometheusMetrics):
        raise NotFound()
    return Response(figures.exposition() + of_this_moment.exposition(), content_type=CONTENT_TYPE)
