"""`GET /metrics` of a local run, for loopback clients only, because the figures show who uses how much."""

from flask import Blueprint, Response, request

from infra.local.loopback import is_loopback_client
from sluice.domain.errors import NotFound
from sluice.http.operation import operation
from sluice.wiring import peers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@operation("Figures for Prometheus", tag="Operation", answers={200: "text/plain"}, errors=(NotFound,))
def metrics() -> Response:
    """404 for other machines and behind a proxy. The peer's address decides, because headers can be forged."""
    if not is_loopback_client(request.remote_addr) or "X-Forwarded-For" in request.headers:
        raise NotFound()
    from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics

    figures = peers.metrics()
    if not isinstance(figures, PrometheusMetrics):
        raise NotFound()
    return Response(figures.exposition(), content_type=CONTENT_TYPE)
