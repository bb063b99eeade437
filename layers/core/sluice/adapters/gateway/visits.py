"""Requests a minute of each visitor of a publishable API token: an item of the throttles table for each of them.

As in admission, a bucket has two forms, because expressions have no max() (`domain/gateway/buckets.py`). The first
write assumes the form that this process saw last; a refused one returns the item. Nothing is given back, so what was
seen can only have grown, and a visitor who has nothing left by it is refused without a write.
"""

from collections import OrderedDict
from typing import Any

from sluice.adapters.aws.json_service import JsonService, Refused, Unanswered
from sluice.domain.errors import Overloaded, StoreUnavailable
from sluice.domain.gateway.buckets import WINDOW_NS, charge_ns, wait_ns
from sluice.ports.gateway import Visit

SCHEMA = 1
ATTEMPTS = 4
KEPT_SECONDS = 300  # a bucket is full again after a minute
KEPT_VISITORS = 10_000  # in memory
IS_IDLE = "attribute_not_exists(tat_ns) OR tat_ns <= :now_ns"
FROM_NOW = "SET tat_ns = :from_now_ns, ttl_s = :ttl_s, #schema = :schema"
IS_BUSY = "tat_ns > :now_ns AND tat_ns <= :latest_ns"
ADDED = "SET tat_ns = tat_ns + :charged_ns, ttl_s = :ttl_s, #schema = :schema"


class DynamoVisits:
    """`sluice.ports.gateway.Visits`."""

    def __init__(self, client: JsonService, table_prefix: str) -> None:
        self._client, self._table = client, table_prefix + "throttles"
        self._seen: OrderedDict[str, int] = OrderedDict()

    def take(self, key: str, rpm: int, now_ns: int) -> Visit:
        """Errors: Overloaded, StoreUnavailable."""
        charged_ns, seen_ns = charge_ns(1, rpm), self._seen.get(key, 0)
        for _ in range(ATTEMPTS):
            if wait_ns(seen_ns, charged_ns, now_ns):
                return Visit(False, seen_ns)
            made, seen_ns = self._write(key, seen_ns, charged_ns, now_ns)
            self._remember(key, seen_ns)
            if made:
                return Visit(True, seen_ns)
        raise Overloaded(retry_after_seconds=1)

    def _write(self, key: str, seen_ns: int, charged_ns: int, now_ns: int) -> tuple[bool, int]:
        """Whether the write was made, and the arrival time in the store."""
        if seen_ns > now_ns:
            condition, change = IS_BUSY, ADDED
            values = {":charged_ns": charged_ns, ":latest_ns": now_ns + WINDOW_NS - charged_ns}
        else:
            condition, change, values = IS_IDLE, FROM_NOW, {":from_now_ns": now_ns + charged_ns}
        values |= {":now_ns": now_ns, ":ttl_s": now_ns // 1_000_000_000 + KEPT_SECONDS, ":schema": SCHEMA}
        request = {
            "TableName": self._table,
            "Key": {"throttle_key": {"S": key}},
            "ConditionExpression": condition,
            "UpdateExpression": change,
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": {name: {"N": str(value)} for name, value in values.items()},
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            return True, _tat_ns(self._client.call("UpdateItem", request)["Attributes"])
        except Refused as exc:
            if exc.code == "ConditionalCheckFailedException":
                return False, _tat_ns(exc.response.get("Item", {}))
            raise StoreUnavailable() from exc
        except Unanswered as exc:
            raise StoreUnavailable() from exc

    def _remember(self, key: str, tat_ns: int) -> None:
        self._seen.pop(key, None)
        self._seen[key] = tat_ns
        while len(self._seen) > KEPT_VISITORS:
            self._seen.popitem(last=False)


def _tat_ns(item: Any) -> int:
    return int(item["tat_ns"]["N"]) if item else 0
