"""Writes that only reconciliation makes: list every account, and correct roll-ups and quotas."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.usage.rollups import SCHEMA
from sluice.domain.usage.usage import Amounts, Bucket

SAME_PERIOD = "period = :period"  # a difference of this month must not change the next month


class DynamoAccountant:
    """`sluice.ports.Accountant`."""

    def __init__(self, table_prefix: str) -> None:
        self._grants, self._rollups = table_prefix + "grants", table_prefix + "rollups"

    def accounts(self) -> Iterator[str]:
        """Scans the table. Only an operator's command does this, never a request."""
        scan: dict[str, Any] = {"ProjectionExpression": "account_id"}
        while True:
            with dynamo.store_errors():
                answer = dynamo.client().scan(TableName=self._grants, **scan)
            yield from (item["account_id"]["S"] for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            scan["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None:
        sums = asdict(by)
        dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=self._rollups,
                Key=dynamo.item({"account_id": account_id, "bucket": bucket.key}),
                UpdateExpression="ADD " + ", ".join(f"#{name} :{name}" for name in sums) + " SET #schema = :schema",
                ExpressionAttributeNames={f"#{name}": name for name in (*sums, "schema")},
                ExpressionAttributeValues=dynamo.item({f":{n}": v for n, v in sums.items()} | {":schema": SCHEMA}),
            )
        )

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._grants,
                    Key=dynamo.item({"account_id": account_id}),
                    UpdateExpression="ADD period_tokens :tokens",
                    ConditionExpression=SAME_PERIOD,
                    ExpressionAttributeValues=dynamo.item({":tokens": tokens, ":period": period}),
                )
            )
        except dynamo.ConditionFailed:
            return
