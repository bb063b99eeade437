"""The store for admission and settlement: the grant and the ledger, over the small client."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sluice.adapters.aws.json_service import JsonService, Refused, Unanswered
from sluice.adapters.gateway import grant_expressions as expressions
from sluice.adapters.gateway.grant_item import grant_from
from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.admission import AdmissionRequest, Forms, Grant, Refund
from sluice.domain.gateway.contents import Kept, LoggedContent, cut
from sluice.domain.gateway.leases import Lease
from sluice.domain.gateway.plans import PlanChange
from sluice.domain.usage.ledger import SCHEMA, UNPRICED, LedgerRecord
from sluice.ports.gateway import Attempt

log = logging.getLogger("sluice.store")

OPTIONAL = ("response_time_ms", "ttft_ms", "finish_reason", "rolled_up_ms")
INTEGERS = (
    "status",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost_micro_usd",
    "created_ms",
    "response_time_ms",
    "ttft_ms",
    "period",
    "rolled_up_ms",
    "upstream_micro_usd",
    "price_percent",
)
STRINGS = (
    "account_id",
    "request_id",
    "token_id",
    "model",
    "endpoint",
    "finish_reason",
    "settled_by",
    "call",
    "upstream",
)
IS_THIS_RESPONSE = "response_id = :id"
HAS_TEXT = "attribute_exists(#name)"
# Earlier versions wrote no `response_id`, and each response into an item of its own.
IS_NO_OTHER_RESPONSE = "response_id = :id OR attribute_not_exists(response_id)"
RECORD_IS_NEW = "attribute_not_exists(request_id)"  # the first writer wins, gateway or sweeper
NOT_DONE = ("ConditionalCheckFailedException", "TransactionCanceledException")


class ConditionFailed(Exception):
    """A conditional write was refused. `item`: the stored item (DynamoDB JSON), None if there is none."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        super().__init__("condition failed")
        self.item = item


MOST_READ = 100  # by one BatchGetItem
GET_ATTEMPTS = 50


class DynamoHotStore:
    """`sluice.ports.gateway.HotStore` and `TextStore` on DynamoDB. Errors of every method: StoreUnavailable."""

    def __init__(self, client: JsonService, table_prefix: str, *, settles_at_once: bool = False) -> None:
        """`settles_at_once`: whether a settlement is one transaction. Only where no other writer is refused for it and
        it costs no more, which is a store on one machine (ADR 49)."""
        self._client, self.settles_at_once = client, settles_at_once
        self._grants = table_prefix + "grants"
        self._ledger = table_prefix + "ledger"
        self._contents = table_prefix + "contents"

    def call(self, operation: str, request: dict[str, Any], *, repeat_silence: bool = True) -> dict[str, Any]:
        """Errors: ConditionFailed, StoreUnavailable."""
        try:
            return self._client.call(operation, request, repeat_silence=repeat_silence)
        except Refused as exc:
            if exc.code in NOT_DONE:
                raise ConditionFailed(exc.response.get("Item")) from exc
            problem: Exception = exc
        except Unanswered as exc:
            problem = exc
        log.warning("store call failed: %s: %s", operation, problem)
        raise StoreUnavailable() from problem

    def grant(self, account_id: str) -> Grant | None:
        key = {"account_id": {"S": account_id}}
        answer = self.call("GetItem", {"TableName": self._grants, "Key": key, "ConsistentRead": True})
        return grant_from(answer["Item"]) if "Item" in answer else None

    def grants_of(self, account_ids: Sequence[str]) -> dict[str, Grant]:
        keys: list[Any] = [{"account_id": {"S": one}} for one in dict.fromkeys(account_ids)]
        found: dict[str, Grant] = {}
        for _ in range(GET_ATTEMPTS):
            some, rest = keys[:MOST_READ], keys[MOST_READ:]
            if not some:
                return found
            wanted = {self._grants: {"Keys": some, "ConsistentRead": True}}
            answer = self.call("BatchGetItem", {"RequestItems": wanted})
            grants = map(grant_from, answer["Responses"].get(self._grants, []))
            found |= {grant.account_id: grant for grant in grants}
            keys = rest + answer.get("UnprocessedKeys", {}).get(self._grants, {}).get("Keys", [])
        raise StoreUnavailable()

    def admit(
        self,
        request: AdmissionRequest,
        guess: Grant,
        forms: Forms,
        lease: Lease,
        now_ns: int,
        change: PlanChange | None = None,
    ) -> Attempt:
        return self._update(expressions.admission(request, guess, forms, lease, now_ns, change), repeat_silence=False)

    def charge_malformed(self, guess: Grant, token_id: str, now_ns: int, family: str = "") -> Attempt:
        write = expressions.malformed(guess, token_id, family or token_id, now_ns)
        return self._update(write, repeat_silence=False)

    def checkpoint(
        self, account_id: str, request_id: str, lease: Lease, now_ms: int, *, settling: bool = False
    ) -> Attempt:
        return self._update(expressions.checkpoint(account_id, request_id, lease, now_ms, settling=settling))

    def take_over(self, account_id: str, request_id: str, lease: Lease, now_ms: int) -> Attempt:
        return self._update(expressions.take_over(account_id, request_id, lease, now_ms))

    def release(self, record: LedgerRecord, lease: Lease, refund: Refund) -> Attempt:
        # A late copy of a withdrawal would end the lease that the same request was given since.
        write, once = expressions.settlement(record, lease, refund), refund.withdrawn_ms > 0
        return self._update(write, repeat_silence=not once)

    def settle(self, record: LedgerRecord, lease: Lease, refund: Refund, kept: Kept | None) -> bool:
        release = expressions.settlement(record, lease, refund)
        del release["ReturnValues"]  # a transaction returns none
        put = {"TableName": self._ledger, "Item": record_item(record), "ConditionExpression": RECORD_IS_NEW}
        writes: list[dict[str, Any]] = [{"Put": put}, {"Update": {"TableName": self._grants, **release}}]
        if kept is not None:
            item = _texts_item(record.account_id, record.request_id, _texts_of(kept.content), *kept[1:])
            writes.append({"Put": {"TableName": self._contents, "Item": item}})
        try:
            self.call("TransactWriteItems", {"TransactItems": writes})
        except ConditionFailed:
            return False
        return True

    def block(self, grant: Grant, seconds: int, now_ms: int) -> Attempt:
        return self._update(expressions.block(grant, seconds, now_ms))

    def _update(self, write: dict[str, Any], *, repeat_silence: bool = True) -> Attempt:
        try:
            answer = self.call("UpdateItem", {"TableName": self._grants, **write}, repeat_silence=repeat_silence)
        except ConditionFailed as failed:
            return Attempt(False, grant_from(failed.item) if failed.item else None)
        return Attempt(True, grant_from(answer["Attributes"]))

    def put_record(self, record: LedgerRecord) -> LedgerRecord:
        """Put if absent. → the record as stored: this one, or an earlier one."""
        put = {
            "TableName": self._ledger,
            "Item": record_item(record),
            "ConditionExpression": RECORD_IS_NEW,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            self.call("PutItem", put)
        except ConditionFailed as failed:
            if failed.item is None:  # an engine that does not return it
                return self.record(record.account_id, record.request_id) or record
            return record_from(failed.item)
        return record

    def record(self, account_id: str, request_id: str) -> LedgerRecord | None:
        key = {"account_id": {"S": account_id}, "request_id": {"S": request_id}}
        answer = self.call("GetItem", {"TableName": self._ledger, "Key": key, "ConsistentRead": True})
        return record_from(answer["Item"]) if "Item" in answer else None

    def put_content(self, account_id: str, request_id: str, content: LoggedContent, now_ms: int, ttl_s: int) -> None:
        self.put_texts(account_id, request_id, _texts_of(content), now_ms, ttl_s)

    def get_texts(self, account_id: str, item_id: str, now_ms: int) -> dict[str, str] | None:
        key = {"account_id": {"S": account_id}, "item_id": {"S": item_id}}
        answer = self.call("GetItem", {"TableName": self._contents, "Key": key, "ConsistentRead": True})
        return _texts(answer["Item"], now_ms) if "Item" in answer else None

    def list_texts(self, account_id: str, prefix: str, now_ms: int) -> list[dict[str, str]]:
        query: dict[str, Any] = {
            "TableName": self._contents,
            "KeyConditionExpression": "account_id = :account AND begins_with(item_id, :prefix)",
            "ExpressionAttributeValues": {":account": {"S": account_id}, ":prefix": {"S": prefix}},
            "ConsistentRead": True,
        }
        found: list[dict[str, str] | None] = []
        while True:
            answer = self.call("Query", query)
            found += [_texts(item, now_ms) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return [texts for texts in found if texts is not None]
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def set_text(self, account_id: str, item_id: str, response_id: str, name: str, text: str) -> bool:
        update = {
            "TableName": self._contents,
            "Key": {"account_id": {"S": account_id}, "item_id": {"S": item_id}},
            "ConditionExpression": IS_THIS_RESPONSE,
            "UpdateExpression": "SET #name = :text",
            "ExpressionAttributeNames": {"#name": name},
            "ExpressionAttributeValues": {":id": {"S": response_id}, ":text": {"S": text}},
        }
        try:
            self.call("UpdateItem", update)
        except ConditionFailed:
            return False
        return True

    def put_texts(
        self,
        account_id: str,
        item_id: str,
        texts: Mapping[str, str],
        now_ms: int,
        ttl_s: int,
        *,
        again: bool = False,
        having: str = "",
    ) -> bool:
        item = _texts_item(account_id, item_id, texts, now_ms, ttl_s)
        put: dict[str, Any] = {"TableName": self._contents, "Item": item}
        if again:
            put["ConditionExpression"] = IS_THIS_RESPONSE
            put["ExpressionAttributeValues"] = {":id": item["response_id"]}
        if again and having:
            put["ConditionExpression"] += f" AND {HAS_TEXT}"
            put["ExpressionAttributeNames"] = {"#name": having}
        try:
            self.call("PutItem", put)
        except ConditionFailed:
            return False
        return True

    def delete_texts(self, account_id: str, item_id: str, response_id: str) -> None:
        delete = {
            "TableName": self._contents,
            "Key": {"account_id": {"S": account_id}, "item_id": {"S": item_id}},
            "ConditionExpression": IS_NO_OTHER_RESPONSE,
            "ExpressionAttributeValues": {":id": {"S": response_id}},
        }
        with suppress(ConditionFailed):
            self.call("DeleteItem", delete)

    def count_up(self, account_id: str, item_id: str) -> int:
        update = {
            "TableName": self._contents,
            "Key": {"account_id": {"S": account_id}, "item_id": {"S": item_id}},
            "UpdateExpression": "ADD made :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "UPDATED_NEW",
        }
        return int(self.call("UpdateItem", update)["Attributes"]["made"]["N"])


def _texts_of(content: LoggedContent) -> dict[str, str]:
    return {"prompt": cut(content.prompt), "response": cut(content.response)}


def _texts_item(account_id: str, item_id: str, texts: Mapping[str, str], now_ms: int, ttl_s: int) -> dict[str, Any]:
    return {
        **{name: {"S": text} for name, text in texts.items()},
        "account_id": {"S": account_id},
        "item_id": {"S": item_id},
        "created_ms": {"N": str(now_ms)},
        "ttl_s": {"N": str(ttl_s)},
        "schema": {"N": "1"},
    }


def _texts(item: dict[str, Any], now_ms: int) -> dict[str, str] | None:
    if int(item["ttl_s"]["N"]) * 1000 <= now_ms:
        return None
    return {name: value["S"] for name, value in item.items() if "S" in value and name not in ("account_id", "item_id")}


def record_item(record: LedgerRecord) -> dict[str, Any]:
    item: dict[str, Any] = {"schema": {"N": str(SCHEMA)}, "stream": {"BOOL": record.stream}}
    for name in INTEGERS:
        value = getattr(record, name)
        if value is not None:
            item[name] = {"N": str(value)}
    if record.cost_micro_usd is None:  # versions before it could be None need a number
        item |= {"cost_micro_usd": {"N": "0"}, UNPRICED: {"BOOL": True}}
    if record.estimated:
        item["estimated"] = {"BOOL": True}
    for name in STRINGS:
        value = getattr(record, name)
        if value is not None:
            item[name] = {"S": value}
    return item


def record_from(item: dict[str, Any]) -> LedgerRecord:
    """From DynamoDB JSON, without the attributes that a later schema added."""
    fields: dict[str, Any] = {name: int(item[name]["N"]) for name in INTEGERS if name in item}
    fields |= {name: item[name]["S"] for name in STRINGS if name in item}
    missing: dict[str, Any] = dict.fromkeys(OPTIONAL) | {"estimated": "estimated" in item}
    if UNPRICED in item:
        fields["cost_micro_usd"] = None
    return LedgerRecord(**{**missing, **fields, "stream": item["stream"]["BOOL"]})
