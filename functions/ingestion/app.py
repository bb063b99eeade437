"""The bucket's events through a queue: extracts text from uploads and keeps every vector store's index up to date.

On a schedule it also handles orphaned uploads, whose event was lost or whose process died.
"""

import json
import logging
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote_plus

from sluice.domain.documents.keys import CHANGES, FILES
from sluice.domain.errors import SluiceError
from sluice.http.logging import configure
from sluice.wiring import documents

log = logging.getLogger("sluice.ingestion")

SWEEP_SECONDS = 40.0


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch of SQS messages, each an S3 event → the ones to deliver again. A schedule's event → what was swept."""
    configure()
    if "Records" not in event:
        return _sweep()
    failed = [record["messageId"] for record in event["Records"] if not _handled(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _handled(record: dict[str, Any]) -> bool:
    """Whether the message is done. A malformed one counts as done, because it would be malformed again."""
    try:
        puts = json.loads(record["body"]).get("Records", [])  # S3's initial test event has none
        names = [unquote_plus(put["s3"]["object"]["key"]).split("/") for put in puts]
    except (LookupError, TypeError, ValueError, AttributeError):
        log.error("malformed event skipped")
        return True
    try:
        for parts in names:
            _dispatch(parts)
    except SluiceError as exc:
        log.warning("event failed, will be delivered again", exc_info=exc)
        return False
    except Exception:
        log.exception("event skipped: it cannot be handled")
        return False
    return True


def _dispatch(parts: list[str]) -> None:
    match parts:
        case [kind, account_id, file_id] if kind == FILES:
            documents.ingestion().uploaded(account_id, file_id)
        case [kind, account_id, store_id, file_id] if kind == CHANGES:
            documents.ingestion().changed(account_id, store_id, file_id)
        case _:
            log.error("event of an unknown kind skipped")


def _sweep() -> dict[str, Any]:
    until = time.monotonic() + SWEEP_SECONDS
    swept = documents.sweeper().sweep(time.time_ns() // 1_000_000, lambda: time.monotonic() > until)
    if swept.seen or swept.mended or swept.renewed:
        log.info("swept", extra=asdict(swept))
    return asdict(swept)
