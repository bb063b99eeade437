"""Every minute: settles abandoned requests, requeues stuck mails and webhooks, finishes the deletions of accounts."""

import logging
import time
from dataclasses import asdict
from typing import Any

from sluice.domain.errors import StoreUnavailable
from sluice.domain.usage import measures
from sluice.http.logging import configure
from sluice.wiring import peers
from sluice.wiring.accounts import erasure
from sluice.wiring.gateway import sweeper
from sluice.wiring.mails import stuck_mails
from sluice.wiring.stores import models_client  # noqa: F401  # built during INIT
from sluice.wiring.webhooks import overdue

log = logging.getLogger("sluice.sweeper")

RUN_MS = 45_000  # shorter than the schedule's interval and Lambda's timeout, both one minute


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A schedule's event → what was done. Store failures are only logged, because the next run is in a minute."""
    configure()
    started_ms = _now_ms()
    requeued = _requeue_mails(started_ms) + _requeue_webhooks(started_ms)
    swept = sweeper().sweep(started_ms + RUN_MS)
    done = {**asdict(swept), "requeued": requeued, "erased": _finish_deletions(started_ms, started_ms + RUN_MS)}
    for what in ("settled", "cleared", "failed", "requeued", "erased"):
        peers.metrics().count(measures.SWEPT, done[what], what=what)
    peers.metrics().observe(measures.LEASES_SEEN, swept.leases)
    peers.metrics().observe(measures.LEASE_OVERDUE, swept.overdue_ms / 1000)
    peers.metrics().flush()
    log.info("swept", extra={**done, "seconds": (_now_ms() - started_ms) / 1000})
    return done


def _finish_deletions(now_ms: int, until_ms: int) -> int:
    try:
        return erasure().finish(now_ms, lambda: _now_ms() < until_ms)
    except StoreUnavailable as exc:
        log.warning("deletions of accounts not finished", exc_info=exc)
        return 0


def _requeue_webhooks(now_ms: int) -> int:
    try:
        return overdue().requeue(now_ms)
    except StoreUnavailable as exc:
        log.warning("webhooks not requeued", exc_info=exc)
        return 0


def _requeue_mails(now_ms: int) -> int:
    try:
        return stuck_mails().requeue(now_ms)
    except StoreUnavailable as exc:
        log.warning("stuck mails not requeued", exc_info=exc)
        return 0
