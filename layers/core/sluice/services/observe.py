"""What the gateway does, as figures: what admission and settlement tell, put into measures."""

import time

from sluice.domain import measures
from sluice.domain.admission import Ask, Limits
from sluice.domain.ledger import LedgerRecord
from sluice.ports import HotStore, Metrics
from sluice.services.admit import Admission, Admitted


class ObservedAdmission(Admission):
    """Admission, timed, with the writes it took; refusals take time too."""

    def __init__(self, store: HotStore, defaults: Limits, metrics: Metrics) -> None:
        super().__init__(store, defaults, lambda writes: metrics.observe(measures.ADMISSION_WRITES, writes))
        self._metrics = metrics

    def admit(self, ask: Ask, now_ns: int) -> Admitted:
        started = time.monotonic()
        try:
            admitted = super().admit(ask, now_ns)
        finally:
            self._metrics.observe(measures.ADMISSION, time.monotonic() - started)
        self._metrics.change(measures.RUNNING, 1)
        return admitted


class ExchangeMetrics:
    """`sluice.services.exchange.Observer`. An answer may be streaming still: so this flushes, and not the request."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def settled(self, record: LedgerRecord, seconds: float) -> None:
        tell = self._metrics
        tell.change(measures.RUNNING, -1)
        tell.observe(measures.SETTLEMENT, seconds)
        tell.count(measures.REQUESTS, endpoint=record.endpoint, status=str(record.status))
        if record.ttft_ms is not None:
            tell.observe(measures.FIRST_TOKEN, record.ttft_ms / 1000, endpoint=record.endpoint)
        for kind in ("prompt", "completion", "cached"):
            tell.count(measures.TOKENS, getattr(record, f"{kind}_tokens"), model=record.model, kind=kind)
        tell.flush()

    def settlement_failed(self) -> None:
        self._metrics.change(measures.RUNNING, -1)
        self._metrics.count(measures.SETTLEMENT_FAILURES)
        self._metrics.flush()
