"""Writes that only reconciliation makes: list every account, and correct roll-ups and quotas."""

from collections.abc import Iterator

from sluice.adapters.aws.dynamo import ConditionFailed
from sluice.adapters.aws.model_store import bound, reading, write
from sluice.adapters.aws.models import GrantItem, RollupItem
from sluice.adapters.usage.rollups import additions
from sluice.domain.usage.usage import Amounts, Bucket


class DynamoAccountant:
    """`sluice.ports.Accountant`."""

    def __init__(self, table_prefix: str) -> None:
        self._grants, self._rollups = bound(GrantItem, table_prefix), bound(RollupItem, table_prefix)

    def accounts(self) -> Iterator[str]:
        """Scans the table. Only an operator's command does this, never a request."""
        with reading():
            for row in self._grants.scan(attributes_to_get=["account_id"]):
                yield row.account_id

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None:
        changes = additions(self._rollups, by)
        write(lambda: self._rollups(account_id, bucket.key).update(changes))

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        grants = self._grants
        same_period = grants.period == period  # a difference of this month must not change the next month
        try:
            write(lambda: grants(account_id).update([grants.period_tokens.add(tokens)], same_period))
        except ConditionFailed:
            return
