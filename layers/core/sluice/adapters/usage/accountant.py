"""What only an operator's commands do: list every account and record, and correct roll-ups and quotas."""

from collections.abc import Iterator
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.json_service import JsonService, Refused, Unanswered
from sluice.adapters.aws.model_store import bound, reading, write
from sluice.adapters.aws.models import GrantItem, RollupItem
from sluice.adapters.usage.ledger import record_of
from sluice.adapters.usage.rollups import additions
from sluice.domain.errors import StoreUnavailable
from sluice.domain.spans import Span
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import Amounts, Bucket


class DynamoAccountant:
    """`sluice.ports.Accountant`."""

    def __init__(self, client: JsonService, table_prefix: str) -> None:
        self._client, self._grants_table, self._ledger_table = client, table_prefix + "grants", table_prefix + "ledger"
        self._grants, self._rollups = bound(GrantItem, table_prefix), bound(RollupItem, table_prefix)

    def accounts(self) -> Iterator[str]:
        """Scans the table. Only an operator's command does this, never a request."""
        with reading():
            for row in self._grants.scan(attributes_to_get=["account_id"]):
                yield row.account_id

    def records(self, span: Span) -> Iterator[LedgerRecord]:
        """Scans the table."""
        scan: dict[str, Any] = {
            "TableName": self._ledger_table,
            "ConsistentRead": True,
            "FilterExpression": "created_ms BETWEEN :first AND :last",
            "ExpressionAttributeValues": dynamo.item({":first": span.from_ms, ":last": span.to_ms - 1}),
        }
        while True:
            with dynamo.store_errors():
                page = dynamo.client().scan(**scan)
            yield from map(record_of, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None:
        changes = additions(self._rollups, by)
        write(lambda: self._rollups(account_id, bucket.key).update(changes))

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        """Sent once: a copy of it would count the tokens twice."""
        update = {
            "TableName": self._grants_table,
            "Key": {"account_id": {"S": account_id}},
            "ConditionExpression": "period = :period",  # a difference of this month must not change the next month
            "UpdateExpression": "ADD period_tokens :tokens",
            "ExpressionAttributeValues": {":period": {"N": str(period)}, ":tokens": {"N": str(tokens)}},
        }
        try:
            self._client.call("UpdateItem", update, once=True)
        except Refused as exc:
            if exc.code != "ConditionalCheckFailedException":
                raise StoreUnavailable() from exc
        except Unanswered as exc:
            raise StoreUnavailable() from exc
