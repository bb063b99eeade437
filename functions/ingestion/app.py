"""The bucket's events, by way of a queue: reads what was uploaded, and keeps every vector store's index in line.

And by the clock: what was left behind, because an event was lost or the process that had it died.
"""

import json
import logging
import time
from dataclasses import asdict
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from sluice.adapters.documents.parsing.sandbox import parse
from sluice.domain.documents.keys import CHANGES, FILES
from sluice.domain.errors import SluiceError
from sluice.http.logging import configure
from sluice.services.documents.ingest import Ingestion
from sluice.wiring import services, stores

log = logging.getLogger("sluice.ingestion")

SWEEP_SECONDS = 40.0


@cache
def _ingestion() -> Ingestion:
    return Ingestion(
        stores.file_store(),
        stores.vector_store_store(),
        stores.blobs(),
        stores.indexes(),
        stores.pending_documents(),
        parse,
        services.embed(),
    )


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch of SQS messages, each an S3 event → those to be delivered again. A schedule's event → what was swept."""
    configure()
    if "Records" not in event:
        return _sweep()
    failed = [record["messageId"] for record in event["Records"] if not _is_seen_to(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _is_seen_to(record: dict[str, Any]) -> bool:
    """True also for what makes no sense: it would make none the next time."""
    try:
        puts = json.loads(record["body"]).get("Records", [])  # none in the test event that S3 begins with
        names = [unquote_plus(put["s3"]["object"]["key"]).split("/") for put in puts]
    except (LookupError, TypeError, ValueError, AttributeError):
        log.error("malformed event skipped")
        return True
    try:
        for parts in names:
            _look_at(parts)
    except SluiceError as exc:
        log.warning("not done now, the event comes again", exc_info=exc)
        return False
    except Exception:
        log.exception("an event that cannot be handled")
        return False
    return True


def _look_at(parts: list[str]) -> None:
    match parts:
        case [kind, account_id, file_id] if kind == FILES:
            _ingestion().uploaded(account_id, file_id)
        case [kind, account_id, store_id, file_id] if kind == CHANGES:
            _ingestion().changed(account_id, store_id, file_id)
        case _:
            log.error("event of another kind skipped")


def _sweep() -> dict[str, Any]:
    until = time.monotonic() + SWEEP_SECONDS
    swept = _ingestion().sweep(time.time_ns() // 1_000_000, lambda: time.monotonic() > until)
    if swept.seen or swept.mended:
        log.info("swept", extra=asdict(swept))
    return asdict(swept)
