"""The streams of tables become domain events and webhooks; the queue of webhooks is delivered (ADR 126, ADR 127)."""

import json
import logging
from typing import Any

from sluice.domain.errors import Unavailable
from sluice.http.logging import configure
from sluice.wiring.changes import change_of
from sluice.wiring.webhooks import deliver, expiring, publish

log = logging.getLogger("sluice.events")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch of a DynamoDB stream, or of SQS messages that each name something due → the ones to deliver again."""
    configure()
    records = event.get("Records", [])
    if any("dynamodb" in record for record in records):
        failed = publish()(change for record in records if (change := change_of(record)) is not None)
    else:
        failed = [record["messageId"] for record in records if not _seen_to(record)]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}


def _seen_to(record: dict[str, Any]) -> bool:
    """A malformed message counts as seen to, because it would be malformed again; so does what fails for a reason of
    its own, because the sweeper brings it again while it is due."""
    try:
        named = json.loads(record["body"])
        account_id, (kind, _, name) = str(named["account_id"]), str(named["run_id"]).partition("#")
    except (LookupError, TypeError, ValueError):
        log.error("malformed message skipped")
        return True
    try:
        (expiring() if kind == "token" else deliver())(account_id, name)
    except Unavailable:
        return False
    except Exception:
        log.exception("not delivered", extra={"account_id": account_id})
    return True
