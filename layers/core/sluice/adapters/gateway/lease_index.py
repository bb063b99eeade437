"""Accounts that hold leases, found by a sparse index of the grants. The index lags behind the table.

It is called `busy`, and its key `busy_shard`, because existing deployments use these names. By the small client,
because a model takes eight times the CPU (docs/adr/0105-accounts-are-swept-side-by-side.md).
"""

from collections.abc import Iterator

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.dynamo import ConditionFailed
from sluice.adapters.gateway.grant_expressions import NO_ROWS

# A concurrent admission writes lease and shard together, so it keeps both.
IS_IDLE = f"attribute_exists(busy_shard) AND size(leases) = :none AND {NO_ROWS}"


class DynamoLeaseIndex:
    """`sluice.ports.gateway.LeaseIndex`."""

    def __init__(self, table_prefix: str) -> None:
        self._grants = table_prefix + "grants"

    def accounts(self, shard: str) -> Iterator[str]:
        rows = dynamo.query(self._grants, {"busy_shard": shard}, index="busy", only=("account_id",))
        return (str(row["account_id"]) for row in rows)

    def clear(self, account_id: str) -> bool:
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._grants,
                    Key=dynamo.item({"account_id": account_id}),
                    UpdateExpression="REMOVE busy_shard",
                    ConditionExpression=IS_IDLE,
                    ExpressionAttributeValues=dynamo.item({":none": 0}),
                )
            )
        except ConditionFailed:
            return False
        return True
