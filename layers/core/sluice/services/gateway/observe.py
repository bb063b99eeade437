"""Measure the gateway's admissions, refusals and settlements."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from sluice.domain.errors import QuotaExceeded, StoreUnavailable, TokenQuotaExceeded
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.usage import measures
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import HotStore
from sluice.ports.usage import Metrics
from sluice.services.gateway.admit import NO_PLANS, Admission, Admitted, Plans
from sluice.services.gateway.fit import Fit

log = logging.getLogger("sluice.gateway")
NOTHING = nullcontext()


class ObservedAdmission(Admission):
    """Admission with measurements: the time of each decision, refusals included, and the number of writes.

    A month's quota is seldom used to the last token, because the rest is too small for the next request. So a refusal
    shows that the quota is used up, and `quota_refused` (account id, now in ms) mails the owner.
    """

    def __init__(
        self,
        store: HotStore,
        defaults: Limits,
        metrics: Metrics,
        quota_refused: Callable[[str, int], object],
        plans: Plans = NO_PLANS,
    ) -> None:
        super().__init__(store, defaults, lambda writes: metrics.observe(measures.ADMISSION_WRITES, writes), plans)
        self._metrics, self._quota_refused = metrics, quota_refused

    def admit(self, request: AdmissionRequest, now_ns: int, fit: Fit | None = None) -> Admitted:
        started = time.monotonic()
        try:
            admitted = super().admit(request, now_ns, fit)
        except QuotaExceeded as refusal:
            if not isinstance(refusal, TokenQuotaExceeded):  # which is the API token's own
                self._notify_owner(request.account_id, now_ns // 1_000_000)
            raise
        finally:
            self._metrics.observe(measures.ADMISSION, time.monotonic() - started)
        self._metrics.change(measures.RUNNING, 1)
        return admitted

    def _notify_owner(self, account_id: str, now_ms: int) -> None:
        try:
            self._quota_refused(account_id, now_ms)
        except StoreUnavailable:
            log.warning("owner not notified that the quota is used up", extra={"account_id": account_id})


class ExchangeMetrics:
    """An `Observer`. It flushes the metrics itself, because an answer may still stream when the request has ended."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def settling(self) -> AbstractContextManager[object]:
        return NOTHING

    def settled(self, record: LedgerRecord, seconds: float) -> None:
        metrics = self._metrics
        metrics.change(measures.RUNNING, -1)
        metrics.observe(measures.SETTLEMENT, seconds)
        metrics.count(measures.REQUESTS, endpoint=record.endpoint, status=str(record.status))
        if record.ttft_ms is not None:
            metrics.observe(measures.FIRST_TOKEN, record.ttft_ms / 1000, endpoint=record.endpoint)
        for kind in ("prompt", "completion", "cached"):
            if (tokens := getattr(record, f"{kind}_tokens")) > 0:
                metrics.count(measures.TOKENS, tokens, model=record.model, kind=kind)
        if record.cost_micro_usd:
            metrics.count(measures.SPEND, record.cost_micro_usd)
        metrics.flush()

    def withdrawn(self) -> None:
        self._metrics.change(measures.RUNNING, -1)

    def settlement_failed(self) -> None:
        self._metrics.change(measures.RUNNING, -1)
        self._metrics.count(measures.SETTLEMENT_FAILURES)
        self._metrics.flush()


class QueueMetrics:
    """An observer of the requests that wait for their turn (`queue.Observer`)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def waiting(self, change: int) -> None:
        self._metrics.change(measures.WAITING, change)

    def waited(self, predicted_seconds: float, seconds: float) -> None:
        self._metrics.observe(measures.QUEUE_PREDICTED, predicted_seconds)
        self._metrics.observe(measures.QUEUE_WAITED, seconds)
