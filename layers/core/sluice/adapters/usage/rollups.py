"""Roll-ups: one item a day, model and API token of an account. They are sums derived from the ledger.

    ledger records  ── fold ──►  ADD their sum to the roll-up   } one transaction,
                                 SET rolled_up_ms on each       }   if none of them has one

A stream delivers a record at least once, in any order. The mark is set only once, and the same transaction adds the
amounts, so that a record counts only once.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws import dynamo
from sluice.domain.usage.ledger import UNPRICED, LedgerRecord
from sluice.domain.usage.usage import NOTHING, Amounts, Bucket, amounts_of, bucket_of

if TYPE_CHECKING:
    from sluice.adapters.aws.models import RollupItem

SCHEMA = 1
MAX_PAGES = 40  # some 4,000 roll-ups a page
SUMS = ("requests", "prompt_tokens", "completion_tokens", "response_time_ms")


class DynamoRollups:
    """`sluice.ports.RollupStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._prefix = table_prefix
        self._rollups = table_prefix + "rollups"
        self._ledger = table_prefix + "ledger"

    def fold(self, records: Sequence[LedgerRecord], now_ms: int) -> bool:
        """Errors: StoreUnavailable, also when other transactions conflicted for about a second."""
        from sluice.adapters.aws import model_store  # only metering needs them, and no person waits for metering
        from sluice.adapters.aws.models import LedgerItem, RollupItem

        rollups, ledger = model_store.bound(RollupItem, self._prefix), model_store.bound(LedgerItem, self._prefix)
        first, amounts = records[0], sum(map(amounts_of, records), NOTHING)
        changes = additions(rollups, amounts)
        # The record exists (a stream event can outlive a restored table) and no transaction has folded it yet.
        is_not_folded = ledger.request_id.exists() & ledger.rolled_up_ms.does_not_exist()

        def all_of_it() -> None:
            with model_store.transaction() as writes:
                writes.update(rollups(first.account_id, bucket_of(first).key), changes)
                for record in records:
                    mark: list[Any] = [ledger.rolled_up_ms.set(now_ms)]
                    writes.update(ledger(record.account_id, record.request_id), mark, is_not_folded)

        try:
            model_store.write(all_of_it)
        except dynamo.ConditionFailed:
            return False
        return True

    def between(self, account_id: str, first_day: str, last_day: str) -> dict[Bucket, Amounts]:
        query: dict[str, Any] = {
            "KeyConditionExpression": "account_id = :account AND #bucket BETWEEN :first AND :last",
            "ExpressionAttributeNames": {"#bucket": "bucket"},
            # "$" follows "#" in ASCII, so this comes after every bucket of the last day.
            "ExpressionAttributeValues": dynamo.item(
                {":account": account_id, ":first": first_day + "#", ":last": last_day + "$"}
            ),
        }
        found: dict[Bucket, Amounts] = {}
        while True:
            with dynamo.store_errors():
                answer = dynamo.client().query(TableName=self._rollups, ConsistentRead=True, **query)
            for stored in answer["Items"]:
                plain = dynamo.values(stored)
                found[Bucket.parse(plain["bucket"])] = _amounts(plain)
            if "LastEvaluatedKey" not in answer:
                return found
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def everyones(self, first_day: str, last_day: str) -> tuple[dict[tuple[str, Bucket], Amounts], bool]:
        """Scans at most MAX_PAGES of 1 MB, for the admin's view only."""
        scan: dict[str, Any] = {
            "FilterExpression": "#bucket BETWEEN :first AND :last",
            "ExpressionAttributeNames": {"#bucket": "bucket"},
            "ExpressionAttributeValues": dynamo.item({":first": first_day + "#", ":last": last_day + "$"}),
        }
        found: dict[tuple[str, Bucket], Amounts] = {}
        for _ in range(MAX_PAGES):
            with dynamo.store_errors():
                answer = dynamo.client().scan(TableName=self._rollups, **scan)
            for plain in map(dynamo.values, answer["Items"]):
                found[plain["account_id"], Bucket.parse(plain["bucket"])] = _amounts(plain)
            if "LastEvaluatedKey" not in answer:
                return found, True
            scan["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found, False

    def snapshot(self, account_id: str, bucket: Bucket, request_ids: Sequence[str]) -> tuple[Amounts, set[str]]:
        """Reads in one transaction, so that no record is in the sum without its mark."""
        marks = [
            self._get(self._ledger, dynamo.item({"account_id": account_id, "request_id": request_id}), "rolled_up_ms")
            for request_id in request_ids
        ]
        reads: Any = [self._get(self._rollups, self._key(account_id, bucket)), *marks]
        answer = dynamo.write(lambda: dynamo.client().transact_get_items(TransactItems=reads))
        rolled, *records = [response.get("Item", {}) for response in answer["Responses"]]
        marked = {
            request_id for request_id, stored in zip(request_ids, records, strict=True) if "rolled_up_ms" in stored
        }
        return _amounts(dynamo.values(rolled)), marked

    def _key(self, account_id: str, bucket: Bucket) -> dict[str, Any]:
        return dynamo.item({"account_id": account_id, "bucket": bucket.key})

    @staticmethod
    def _get(table: str, key: Mapping[str, Any], only: str = "") -> dict[str, Any]:
        projection = {"ProjectionExpression": only} if only else {}
        return {"Get": {"TableName": table, "Key": key, **projection}}


def additions(rows: "type[RollupItem]", by: Amounts) -> list[Any]:
    """A model's actions that add amounts to a roll-up, which need not be there."""
    sums = [getattr(rows, name).add(getattr(by, name)) for name in SUMS]
    if by.upstream_micro_usd:
        sums.append(rows.upstream_micro_usd.add(by.upstream_micro_usd))
    marks = {None: [rows.unpriced.set(True)], 0: [rows.priced.set(True)]}.get(by.cost_micro_usd, [])
    return [rows.schema.set(SCHEMA), *sums, rows.cost_micro_usd.add(by.cost_micro_usd or 0), *marks]


def _amounts(plain: Mapping[str, Any]) -> Amounts:
    if not plain:
        return NOTHING
    # A cost is always stored, because earlier releases read it. They marked nothing: their 0 is a cost.
    has_cost = plain["cost_micro_usd"] or "priced" in plain or UNPRICED not in plain
    cost = plain["cost_micro_usd"] if has_cost else None
    own = plain.get("upstream_micro_usd", 0)
    return Amounts(**{name: plain[name] for name in SUMS}, cost_micro_usd=cost, upstream_micro_usd=own)
