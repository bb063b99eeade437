"""Batches. What its owner sees of one is in the table `contents`, so it is exported and erased with the account; what
its workers count is in the table `runs`, with the set of the account's live ones, which bounds them.
"""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from sluice.adapters.gateway.grant_item import ROWS
from sluice.adapters.gateway.hot_store import ConditionFailed
from sluice.domain.batches import (
    BATCH,
    KEPT_SECONDS,
    MOST_LIVE,
    OVERDUE_MS,
    PROGRESS_SECONDS,
    WINDOW_MS,
    Batch,
    Progress,
    Status,
)
from sluice.domain.ids import ulid_time_ms

LIVE_ONES = "batches"  # the key of the item that names them
HAS_ROOM = "attribute_not_exists(batches) OR size(batches) < :most"
SLICE_IS_NEW = "NOT contains(done, :first)"
COUNTED = ("completed", "failed", "undone", "result_bytes")  # by slices
HAS_GRANT = "attribute_exists(account_id)"


class DynamoBatches:
    """`sluice.ports.runs.BatchStore`. `call`: as `DynamoHotStore.call`."""

    def __init__(self, call: Callable[[str, dict[str, Any]], dict[str, Any]], table_prefix: str) -> None:
        self._call = call
        self._contents, self._runs, self._grants = (table_prefix + name for name in ("contents", "runs", "grants"))

    def put(self, batch: Batch) -> bool:
        if not self._add_live(batch) and not (self._forget_lost(batch) and self._add_live(batch)):
            return False
        leases = {
            "TableName": self._grants,
            "Key": {"account_id": {"S": batch.account_id}},
            "UpdateExpression": f"SET {ROWS} = if_not_exists({ROWS}, :none)",
            "ConditionExpression": HAS_GRANT,
            "ExpressionAttributeValues": {":none": {"M": {}}},
        }
        self._call("UpdateItem", leases)
        ttl_s = batch.created_ms // 1000 + KEPT_SECONDS
        item = {
            **_key(batch),
            "created_ms": {"N": str(batch.created_ms)},
            "ttl_s": {"N": str(ttl_s)},
            "schema": {"N": "1"},
            "endpoint": {"S": batch.endpoint},
            "input_file_id": {"S": batch.input_file_id},
            "claims": {"S": batch.claims},
            "metadata": {"S": json.dumps(batch.metadata)},
            "status": {"S": batch.status},
            "times": {"M": {}},
        }
        self._call("PutItem", {"TableName": self._contents, "Item": item})
        return True

    def get(self, account_id: str, batch_id: str) -> Batch | None:
        key = {"account_id": {"S": account_id}, "item_id": {"S": batch_id}}
        item = self._call("GetItem", {"TableName": self._contents, "Key": key, "ConsistentRead": True}).get("Item")
        return _batch(item) if item else None

    def page(self, account_id: str, *, limit: int, after_id: str | None) -> list[Batch]:
        query: dict[str, Any] = {
            "TableName": self._contents,
            "KeyConditionExpression": "account_id = :account AND begins_with(item_id, :prefix)",
            "ExpressionAttributeValues": {":account": {"S": account_id}, ":prefix": {"S": BATCH}},
            "ScanIndexForward": False,
            "Limit": limit,
            "ConsistentRead": True,
        }
        if after_id is not None:
            query["ExclusiveStartKey"] = {"account_id": {"S": account_id}, "item_id": {"S": after_id}}
        return [_batch(item) for item in self._call("Query", query)["Items"]]

    def change(self, batch: Batch, before: Collection[Status], now_ms: int) -> bool:
        """Write what may change of it."""
        values: dict[str, Any] = {f":before{place}": {"S": one} for place, one in enumerate(before)}
        fields: dict[str, Any] = {
            "counts": {"L": [{"N": str(count)} for count in batch.counts]},
            "output_file_id": {"S": batch.output_file_id} if batch.output_file_id else None,
            "error_file_id": {"S": batch.error_file_id} if batch.error_file_id else None,
            "errors": {"S": json.dumps(batch.errors)} if batch.errors else None,
        }
        told = {name: value for name, value in fields.items() if value is not None}
        sets = ["#status = :status", "times.#status_now = :now_ms", *(f"{name} = :{name}" for name in told)]
        update = {
            "TableName": self._contents,
            "Key": _key(batch),
            "UpdateExpression": "SET " + ", ".join(sets),
            "ConditionExpression": f"#status IN ({', '.join(values)})",
            "ExpressionAttributeNames": {"#status": "status", "#status_now": batch.status},
            "ExpressionAttributeValues": {
                **values,
                ":status": {"S": batch.status},
                ":now_ms": {"N": str(now_ms)},
                **{f":{name}": value for name, value in told.items()},
            },
        }
        try:
            self._call("UpdateItem", update)
        except ConditionFailed:
            return False
        if not batch.is_live:
            self.close(batch)
        return True

    def live_bytes(self, account_id: str) -> tuple[int, int]:
        live = [self.progress(account_id, one) for one in self._live(account_id)]
        return sum(one.input_bytes for one in live), sum(one.result_bytes for one in live)

    def begin(self, batch: Batch, slices: int, input_bytes: int) -> None:
        item = {
            **_run_key(batch.account_id, batch.batch_id),
            "slices": {"N": str(slices)},
            "input_bytes": {"N": str(input_bytes)},
            **{name: {"N": "0"} for name in COUNTED},
            "ttl_s": {"N": str(batch.created_ms // 1000 + PROGRESS_SECONDS)},
            "schema": {"N": "1"},
        }
        put = {"TableName": self._runs, "Item": item, "ConditionExpression": "attribute_not_exists(run_id)"}
        with suppress(ConditionFailed):
            self._call("PutItem", put)

    def progress(self, account_id: str, batch_id: str) -> Progress:
        get = {"TableName": self._runs, "Key": _run_key(account_id, batch_id), "ConsistentRead": True}
        return _progress(self._call("GetItem", get).get("Item") or {})

    def slice_done(self, batch: Batch, first: int, results: Progress) -> None:
        counts = {name: getattr(results, name) for name in COUNTED}
        update = {
            "TableName": self._runs,
            "Key": _run_key(batch.account_id, batch.batch_id),
            "UpdateExpression": "ADD " + ", ".join(["done :slice", *(f"{name} :{name}" for name in counts)]),
            "ConditionExpression": SLICE_IS_NEW,
            "ExpressionAttributeValues": {
                ":slice": {"NS": [str(first)]},
                ":first": {"N": str(first)},
                **{f":{name}": {"N": str(count)} for name, count in counts.items()},
            },
        }
        with suppress(ConditionFailed):
            self._call("UpdateItem", update)

    # --- the account's live ones

    def _add_live(self, batch: Batch) -> bool:
        update = {
            "TableName": self._runs,
            "Key": _run_key(batch.account_id, LIVE_ONES),
            "UpdateExpression": "ADD batches :batch SET ttl_s = :ttl_s",
            "ConditionExpression": HAS_ROOM,
            "ExpressionAttributeValues": {
                ":batch": {"SS": [batch.batch_id]},
                ":most": {"N": str(MOST_LIVE)},
                ":ttl_s": {"N": str(batch.created_ms // 1000 + KEPT_SECONDS)},
            },
        }
        with suppress(ConditionFailed):
            self._call("UpdateItem", update)
            return True
        return False

    def _forget_lost(self, batch: Batch) -> bool:
        """Take out what should have ended long ago. → whether there was any."""
        over_ms = batch.created_ms - WINDOW_MS - 2 * OVERDUE_MS
        lost = [one for one in self._live(batch.account_id) if ulid_time_ms(one.removeprefix(BATCH)) < over_ms]
        if lost:
            self._leave(batch.account_id, lost)
        return bool(lost)

    def _live(self, account_id: str) -> list[str]:
        get = {"TableName": self._runs, "Key": _run_key(account_id, LIVE_ONES), "ConsistentRead": True}
        return list((self._call("GetItem", get).get("Item") or {}).get("batches", {"SS": []})["SS"])

    def close(self, batch: Batch) -> None:
        update = {
            "TableName": self._runs,
            "Key": _run_key(batch.account_id, batch.batch_id),
            "UpdateExpression": "SET #status = :status, ttl_s = :ttl_s, #schema = :schema",
            "ConditionExpression": "attribute_not_exists(#status)",
            "ExpressionAttributeNames": {"#status": "status", "#schema": "schema"},
            "ExpressionAttributeValues": {
                ":status": {"S": batch.status},
                ":ttl_s": {"N": str(batch.created_ms // 1000 + PROGRESS_SECONDS)},
                ":schema": {"N": "1"},
            },
        }
        with suppress(ConditionFailed):
            self._call("UpdateItem", update)
        self._leave(batch.account_id, [batch.batch_id])

    def _leave(self, account_id: str, batch_ids: list[str]) -> None:
        change = {"UpdateExpression": "DELETE batches :over", "ExpressionAttributeValues": {":over": {"SS": batch_ids}}}
        self._call("UpdateItem", {"TableName": self._runs, "Key": _run_key(account_id, LIVE_ONES), **change})


def _key(batch: Batch) -> dict[str, Any]:
    return {"account_id": {"S": batch.account_id}, "item_id": {"S": batch.batch_id}}


def _run_key(account_id: str, run_id: str) -> dict[str, Any]:
    return {"account_id": {"S": account_id}, "run_id": {"S": run_id}}


def _batch(item: Mapping[str, Any]) -> Batch:
    counts = [int(one["N"]) for one in item["counts"]["L"]] if "counts" in item else [0, 0, 0]
    texts = {name: item[name]["S"] for name in ("endpoint", "input_file_id", "claims", "status")}
    files = {name: item[name]["S"] for name in ("output_file_id", "error_file_id") if name in item}
    return Batch(
        account_id=item["account_id"]["S"],
        batch_id=item["item_id"]["S"],
        created_ms=int(item["created_ms"]["N"]),
        metadata=json.loads(item["metadata"]["S"]),
        times={name: int(value["N"]) for name, value in item["times"]["M"].items()},
        counts=(counts[0], counts[1], counts[2]),
        errors=tuple(json.loads(item["errors"]["S"])) if "errors" in item else (),
        **texts,
        **files,
    )


def _progress(item: Mapping[str, Any]) -> Progress:
    numbers = {name: int(item[name]["N"]) for name in ("slices", "input_bytes", *COUNTED) if name in item}
    return Progress(**numbers, done=frozenset(map(int, item.get("done", {"NS": []})["NS"])))
