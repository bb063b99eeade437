"""The table `runs`: an item for each run, and one for each account that names its live ones. All expire.

The second item bounds the live runs: adding to a set of strings is one conditional write, safe to repeat.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sluice.adapters.gateway.hot_store import ConditionFailed
from sluice.domain.ids import request_time_ms
from sluice.domain.runs import KEPT_SECONDS, LIVE, MOST_LIVE, OVER_MS, Run, Status

LIVE_ONES = "live"  # the key of the item that names them
HAS_ROOM = "attribute_not_exists(runs) OR size(runs) < :most"
IS_LIVE = "#status IN (:queued, :running)"
IS_NEW_EPOCH = "epoch < :epoch"  # nobody has begun with this lease, or with a later one
IS_EPOCH = "epoch = :epoch"


class DynamoRuns:
    """`sluice.ports.runs.RunStore`. `call`: as `DynamoHotStore.call`."""

    def __init__(self, call: Callable[[str, dict[str, Any]], dict[str, Any]], table_prefix: str) -> None:
        self._call, self._table = call, table_prefix + "runs"

    def get(self, account_id: str, run_id: str) -> Run | None:
        item = self._read(account_id, run_id)
        if item is None:
            return None
        numbers = {name: int(item[name]["N"]) for name in ("epoch", "deaths")}
        status: Status = item["status"]["S"]
        keeps, ask, followed = item["keeps_events"]["BOOL"], item.get("ask", {"S": ""})["S"], "followed" in item
        return Run(
            account_id, run_id, item["place"]["S"], status, **numbers, keeps_events=keeps, ask=ask, followed=followed
        )

    def put(self, run: Run, now_ms: int) -> bool:
        ttl_s = {"N": str(now_ms // 1000 + KEPT_SECONDS)}
        has_room = self._add_live(run, ttl_s) or (
            self._forget_lost(run.account_id, now_ms) and self._add_live(run, ttl_s)
        )
        if has_room:
            self._put(run, ttl_s)
        return has_room

    def put_begun(self, run: Run, now_ms: int) -> None:
        self._put(run, {"N": str(now_ms // 1000 + KEPT_SECONDS)})

    def _put(self, run: Run, ttl_s: dict[str, str]) -> None:
        item = {
            **_key(run.account_id, run.run_id),
            "place": {"S": run.place},
            "status": {"S": run.status},
            "epoch": {"N": str(run.epoch)},
            "deaths": {"N": str(run.deaths)},
            "keeps_events": {"BOOL": run.keeps_events},
            "ttl_s": ttl_s,
            "schema": {"N": "1"},
            **({"ask": {"S": run.ask}} if run.ask else {}),
        }
        self._call("PutItem", {"TableName": self._table, "Item": item})

    def follow(self, run: Run) -> None:
        self._change(run, "SET followed = :yes", "", None, {":yes": {"BOOL": True}})

    def begin(self, run: Run, epoch: int, *, died: bool) -> bool:
        values = {":status": {"S": "in_progress"}, ":died": {"N": str(int(died))}}
        change = "SET #status = :status, epoch = :epoch ADD deaths :died"
        return self._change(run, change, IS_NEW_EPOCH, epoch, values)

    def end(self, run: Run, status: Status, epoch: int | None = None) -> bool:
        condition = "" if epoch is None else IS_EPOCH
        if not self._change(run, "SET #status = :status", condition, epoch, {":status": {"S": status}}):
            return False
        if run.ask:  # it is not one of those
            return True
        change = {"UpdateExpression": "DELETE runs :run", "ExpressionAttributeValues": {":run": {"SS": [run.run_id]}}}
        self._call("UpdateItem", {"TableName": self._table, "Key": _key(run.account_id, LIVE_ONES), **change})
        return True

    def _change(self, run: Run, change: str, more: str, epoch: int | None, values: dict[str, Any]) -> bool:
        """Whether the run was live, and `more` held."""
        numbers = {} if epoch is None else {":epoch": {"N": str(epoch)}}
        live = {":queued": {"S": LIVE[0]}, ":running": {"S": LIVE[1]}}
        update = {
            "TableName": self._table,
            "Key": _key(run.account_id, run.run_id),
            "UpdateExpression": change,
            "ConditionExpression": " AND ".join(filter(None, (IS_LIVE, more))),
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {**values, **numbers, **live},
        }
        try:
            self._call("UpdateItem", update)
        except ConditionFailed:
            return False
        return True

    def _add_live(self, run: Run, ttl_s: dict[str, str]) -> bool:
        update = {
            "TableName": self._table,
            "Key": _key(run.account_id, LIVE_ONES),
            "UpdateExpression": "ADD runs :run SET ttl_s = :ttl_s",
            "ConditionExpression": HAS_ROOM,
            "ExpressionAttributeValues": {
                ":run": {"SS": [run.run_id]},
                ":most": {"N": str(MOST_LIVE)},
                ":ttl_s": ttl_s,
            },
        }
        with suppress(ConditionFailed):
            self._call("UpdateItem", update)
            return True
        return False

    def _forget_lost(self, account_id: str, now_ms: int) -> bool:
        """Take out what is so old that its process died before it could. → whether there was any."""
        named = ((self._read(account_id, LIVE_ONES) or {}).get("runs") or {"SS": []})["SS"]
        lost = [run_id for run_id in named if now_ms - request_time_ms(run_id) > OVER_MS]
        if lost:
            change = {"UpdateExpression": "DELETE runs :lost", "ExpressionAttributeValues": {":lost": {"SS": lost}}}
            self._call("UpdateItem", {"TableName": self._table, "Key": _key(account_id, LIVE_ONES), **change})
        return bool(lost)

    def _read(self, account_id: str, run_id: str) -> dict[str, Any] | None:
        get = {"TableName": self._table, "Key": _key(account_id, run_id), "ConsistentRead": True}
        return self._call("GetItem", get).get("Item")


def _key(account_id: str, run_id: str) -> dict[str, Any]:
    return {"account_id": {"S": account_id}, "run_id": {"S": run_id}}
