"""Accounts that hold leases, found by a sparse index of the grants. The index lags behind the table.

It is called `busy`, and its key `busy_shard`, because existing deployments use these names.
"""

from collections.abc import Iterator

from pynamodb.expressions.condition import size

from sluice.adapters.aws.dynamo import ConditionFailed
from sluice.adapters.aws.model_store import bound, reading, write
from sluice.adapters.aws.models import GrantItem

PAGE = 100


class DynamoLeaseIndex:
    """`sluice.ports.gateway.LeaseIndex`."""

    def __init__(self, table_prefix: str) -> None:
        self._rows = bound(GrantItem, table_prefix)

    def accounts(self, shard: str) -> Iterator[str]:
        with reading():
            for row in self._rows.busy.query(shard, page_size=PAGE):
                yield row.account_id

    def clear(self, account_id: str) -> bool:
        rows = self._rows
        # Only if there is no lease. A concurrent admission writes lease and shard together, so it keeps both.
        is_idle = rows.busy_shard.exists() & (size(rows.leases) == 0)
        try:
            write(lambda: rows(account_id).update([rows.busy_shard.remove()], is_idle))
        except ConditionFailed:
            return False
        return True
