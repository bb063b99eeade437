"""The same admissions, settlements and calls of the model server, each within a span (ADR 87).

The wiring takes these only where traces are on, so elsewhere they are not even imported.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar

from sluice.domain.errors import Overloaded, SluiceError
from sluice.domain.gateway.admission import AdmissionRequest
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import RunAnswer, Upstream, UpstreamCall, UpstreamStream
from sluice.ports.usage import Metrics, Tracing
from sluice.services.gateway.admit import Admitted
from sluice.services.gateway.fit import Fit
from sluice.services.gateway.observe import ExchangeMetrics, ObservedAdmission

Answer = TypeVar("Answer")


class TracedAdmission(ObservedAdmission):
    def __init__(self, tracing: Tracing, *measured: Any) -> None:
        """`measured`: what `ObservedAdmission` takes."""
        super().__init__(*measured)
        self._tracing = tracing

    def admit(self, request: AdmissionRequest, now_ns: int, fit: Fit | None = None) -> Admitted:
        with self._tracing.span("admission"):
            return super().admit(request, now_ns, fit)


class TracedExchanges(ExchangeMetrics):
    def __init__(self, tracing: Tracing, metrics: Metrics) -> None:
        super().__init__(metrics)
        self._tracing = tracing

    def settling(self) -> AbstractContextManager[object]:
        self._tracing.answered()
        return self._tracing.span("settlement")

    def settled(self, record: LedgerRecord, seconds: float) -> None:
        super().settled(record, seconds)
        self._tracing.settled(record)

    def withdrawn(self) -> None:
        super().withdrawn()
        self._tracing.answered(Overloaded.__name__)


class TracedUpstream:
    """A `sluice.ports.gateway.Upstream`. The span of an answer that has begun ends when the request is settled."""

    def __init__(self, tracing: Tracing, upstream: Upstream) -> None:
        self._tracing, self._upstream = tracing, upstream

    def open(self, call: UpstreamCall) -> UpstreamStream:
        return self._asked(self._upstream.open, call)

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        return self._asked(self._upstream.fetch, call)

    def run(self, call: UpstreamCall) -> RunAnswer:
        return self._asked(self._upstream.run, call)

    def count(self, call: UpstreamCall) -> int | None:
        return self._asked(self._upstream.count, call)

    def _asked(self, ask: Callable[[UpstreamCall], Answer], call: UpstreamCall) -> Answer:
        traceparent = self._tracing.ask(str(call.body["model"]), call.path)
        try:
            return ask(replace(call, traceparent=traceparent))
        except SluiceError as exc:
            self._tracing.answered(type(exc).__name__)
            raise

    def models(self) -> list[dict[str, Any]]:
        return self._upstream.models()
