"""`GET /metrics` of a local run, answered to loopback clients only: figures tell who uses what, and how much."""

from ipaddress import ip_address

from flask import Blueprint, Response, request

from sluice.domain.errors import NotFound
from sluice.http.operation import operation
from sluice.wiring import peers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@operation("Figures for Prometheus", tag="Operation", answers={200: "text/plain"}, errors=(NotFound,))
def metrics() -> Response:
    """The peer's own address decides, whatever a header says: behind a proxy there is no `/metrics`."""
    if not _is_loopback(request.remote_addr) or "X-Forwarded-For" in request.headers:
        raise NotFound()
    from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics

    figures = peers.metrics()
    if not isinstance(figures, PrometheusMetrics):
        raise NotFound()
    return Response(figures.exposition(), content_type=CONTENT_TYPE)


def _is_loopback(address: str | None) -> bool:
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)  # ::ffff:127.0.0.1, of a socket for both families
    return (mapped or parsed).is_loopback
