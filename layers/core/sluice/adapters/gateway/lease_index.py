"""Accounts that hold leases, by a sparse index of the grants. The index lags behind the table.

It is called `busy`, and its key `busy_shard`, because the tables of running deployments were made with these names.
"""

from collections.abc import Iterator
from typing import Any

from sluice.adapters.aws import dynamo

INDEX = "busy"
PAGE = 100
# No lease is held. An admission writes its lease and its shard together, so one that comes first keeps both.
HOLDS_NO_LEASE = "attribute_exists(busy_shard) AND size(leases) = :none"


class DynamoLeaseIndex:
    """`sluice.ports.gateway.LeaseIndex`."""

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
                    ConditionExpression=HOLDS_NO_LEASE,
                    ExpressionAttributeValues=dynamo.item({":none": 0}),
                )
            )
        except dynamo.ConditionFailed:
            return False
        return True
