"""What only reconciliation does: list every account, and add what was missing or too much."""

from collections.abc import Iterator
from dataclasses import asdict

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
        """A scan of everything: for an operator's command, never for a request."""
        with reading():
            for row in self._grants.scan(attributes_to_get=["account_id"]):
                yield row.account_id

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None:
        changes = additions(self._rollups, asdict(by))
        write(lambda: self._rollups(account_id, bucket.key).update(changes))

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        grants = self._grants
        same_period = grants.period == period  # the difference is one of this month; the next owes nothing to it
        try:
            write(lambda: grants(account_id).update([grants.period_tokens.add(tokens)], same_period))
        except ConditionFailed:
            return
