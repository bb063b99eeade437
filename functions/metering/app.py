"""The ledger's stream: folds each new record into its roll-up exactly once, even if it is delivered twice."""

import logging
import time
from typing import Any

from sluice.domain.usage import measures
from sluice.http.logging import configure
from sluice.services.usage.meter import Delivery
from sluice.wiring import peers
from sluice.wiring.stores import models_client  # noqa: F401  # built during INIT
from sluice.wiring.usage import metering

log = logging.getLogger("sluice.metering")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch of a KEYS_ONLY DynamoDB stream → partial batch response: the records to deliver again.

    Only insertions are folded; modifications are ignored, because folding itself marks records.
    """
    configure()
    inserted = [_delivery(record) for record in event.get("Records", []) if record.get("eventName") == "INSERT"]
    failed = metering().meter(inserted, time.time_ns() // 1_000_000)
    for result, records in (("failed", len(failed)), ("folded", len(inserted) - len(failed))):
        peers.metrics().count(measures.METERED, records, result=result)
    peers.metrics().flush()
    log.info("ledger batch", extra={"records": len(inserted), "failed": len(failed)})
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in failed]}


def _delivery(record: dict[str, Any]) -> Delivery:
    change = record["dynamodb"]
    keys = change["Keys"]
    return Delivery(change["SequenceNumber"], keys["account_id"]["S"], keys["request_id"]["S"])
