"""Claims of keys, as items of the table `runs`, and the answers to their requests, as blobs. All expire after a day.

key#KEY_ID      a claim: request, fingerprint, status
keys#DAY        how many keys the account has had on that day (days since 1970)
"""

import json
from collections.abc import Callable
from typing import Any

from sluice.adapters.gateway.hot_store import ConditionFailed
from sluice.domain.documents.keys import RUNS
from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.contents import DAY_S
from sluice.domain.repeats import MOST_KEYS, Claim, KeptAnswer, Status
from sluice.domain.runs import KEPT_SECONDS
from sluice.ports.documents import Blobs

IS_FREE = "attribute_not_exists(run_id) OR ttl_s <= :now"  # an expired item is deleted some time later
IS_MINE = "request_id = :id AND #status = :running"  # whoever ends a claim first says how
HAS_ROOM = "attribute_not_exists(made) OR made < :most"
ATTEMPTS = 3


class DynamoClaims:
    """`sluice.ports.runs.ClaimStore`. `call`: as `DynamoHotStore.call`."""

    def __init__(self, call: Callable[[str, dict[str, Any]], dict[str, Any]], table_prefix: str) -> None:
        self._call, self._table = call, table_prefix + "runs"

    def put(self, claim: Claim, now_ms: int) -> Claim | None:
        put = {
            "TableName": self._table,
            "Item": {
                **_key(claim.account_id, f"key#{claim.key_id}"),
                "request_id": {"S": claim.request_id},
                "fingerprint": {"S": claim.fingerprint},
                "status": {"S": claim.status},
                "ttl_s": _number(now_ms // 1000 + KEPT_SECONDS),
                "schema": {"N": "1"},
            },
            "ConditionExpression": IS_FREE,
            "ExpressionAttributeValues": {":now": _number(now_ms // 1000)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        for _ in range(ATTEMPTS):
            try:
                self._call("PutItem", put)
                return None
            except ConditionFailed as failed:
                item = failed.item
            found = _claim(item) if item else self.get(claim.account_id, claim.key_id, now_ms)
            if found is not None:
                return None if found.request_id == claim.request_id else found  # a repetition finds its own
        raise StoreUnavailable()

    def count(self, account_id: str, now_ms: int) -> bool:
        day = now_ms // 1000 // DAY_S
        update = {
            "TableName": self._table,
            "Key": _key(account_id, f"keys#{day}"),
            "UpdateExpression": "ADD made :one SET ttl_s = :ttl_s",
            "ConditionExpression": HAS_ROOM,
            "ExpressionAttributeValues": {
                ":one": {"N": "1"},
                ":most": _number(MOST_KEYS),
                ":ttl_s": _number((day + 2) * DAY_S),
            },
        }
        try:
            self._call("UpdateItem", update)
        except ConditionFailed:
            return False
        return True

    def get(self, account_id: str, key_id: str, now_ms: int) -> Claim | None:
        get = {"TableName": self._table, "Key": _key(account_id, f"key#{key_id}"), "ConsistentRead": True}
        item = self._call("GetItem", get).get("Item")
        return _claim(item) if item and int(item["ttl_s"]["N"]) * 1000 > now_ms else None

    def end(self, claim: Claim, status: Status) -> bool:
        return self._change(claim, "SET #status = :status", {":status": {"S": status}})

    def free(self, claim: Claim, now_ms: int) -> None:
        self._change(claim, "SET ttl_s = :now", {":now": _number(now_ms // 1000)})

    def _change(self, claim: Claim, change: str, values: dict[str, Any]) -> bool:
        update = {
            "TableName": self._table,
            "Key": _key(claim.account_id, f"key#{claim.key_id}"),
            "UpdateExpression": change,
            "ConditionExpression": IS_MINE,
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":id": {"S": claim.request_id}, ":running": {"S": "running"}, **values},
        }
        try:
            self._call("UpdateItem", update)
        except ConditionFailed:
            return False
        return True


class BlobAnswers:
    """`sluice.ports.runs.KeptAnswers`: a line of JSON, then the body."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def put(self, claim: Claim, answer: KeptAnswer) -> None:
        head = {"status": answer.status, "headers": dict(answer.headers), "follows": answer.follows}
        self._blobs.put(_blob(claim), json.dumps(head).encode() + b"\n" + answer.body)

    def get(self, claim: Claim) -> KeptAnswer | None:
        blob = self._blobs.get(_blob(claim))
        if blob is None:
            return None
        head, _, body = blob.partition(b"\n")
        return KeptAnswer(**json.loads(head), body=body)


def _blob(claim: Claim) -> str:
    return f"{RUNS}/{claim.account_id}/{claim.request_id}/answer"


def _key(account_id: str, run_id: str) -> dict[str, Any]:
    return {"account_id": {"S": account_id}, "run_id": {"S": run_id}}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _claim(item: dict[str, Any]) -> Claim:
    key_id = item["run_id"]["S"].removeprefix("key#")
    status: Status = item["status"]["S"]
    return Claim(item["account_id"]["S"], key_id, item["request_id"]["S"], item["fingerprint"]["S"], status)
