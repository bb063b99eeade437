"""Accounts with running requests, by the sparse index `busy` of the grants. It lags: a list to look into, no more."""

from collections.abc import Iterator
from typing import Any

from sluice.adapters.aws import dynamo

INDEX = "busy"
PAGE = 100
# Nothing runs: an admission that comes first puts its lease and its shard in one write, and keeps both.
IS_IDLE = "attribute_exists(busy_shard) AND size(leases) = :none"


class DynamoBusyAccounts:
    """`sluice.ports.BusyAccounts`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "grants"

    def accounts(self, shard: str) -> Iterator[str]:
        query: dict[str, Any] = {
            "KeyConditionExpression": "busy_shard = :shard",
            "ExpressionAttributeValues": dynamo.item({":shard": shard}),
            "Limit": PAGE,
        }
        while True:
            with dynamo.store_errors():
                answer = dynamo.client().query(TableName=self._table, IndexName=INDEX, **query)
            yield from (item["account_id"]["S"] for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def clear(self, account_id: str) -> bool:
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=dynamo.item({"account_id": account_id}),
                    UpdateExpression="REMOVE busy_shard",
                    ConditionExpression=IS_IDLE,
                    ExpressionAttributeValues=dynamo.item({":none": 0}),
                )
            )
        except dynamo.ConditionFailed:
            return False
        return True
