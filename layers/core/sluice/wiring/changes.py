"""Records of DynamoDB's streams as changes of items."""

import logging
from collections.abc import Mapping
from typing import Any

from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.domain.events import Change

log = logging.getLogger("sluice.events")


def change_of(record: Mapping[str, Any]) -> Change | None:
    """None for a malformed record, because it would be malformed again."""
    try:
        change = record["dynamodb"]
        table = str(record["eventSourceARN"]).split("/")[1].removeprefix(settings.common().table_prefix)
        keys, before, after = (dynamo.values(change.get(name, {})) for name in ("Keys", "OldImage", "NewImage"))
        at_ms, is_new = int(change["ApproximateCreationDateTime"]) * 1000, record["eventName"] == "INSERT"
        return Change(str(change["SequenceNumber"]), table, keys, before, after, at_ms, is_new)
    except (LookupError, TypeError, ValueError):
        log.error("malformed stream record skipped")
        return None
