"""The last use of API tokens: one attribute of the rows in `adapters/tokens/tokens.py`, which only metering writes."""

from sluice.adapters.aws.dynamo import ConditionFailed
from sluice.adapters.aws.model_store import bound, write
from sluice.adapters.aws.models import TokenItem


class DynamoTokenUses:
    """`sluice.ports.TokenUses`."""

    def __init__(self, table_prefix: str) -> None:
        self._rows = bound(TokenItem, table_prefix)

    def used(self, account_id: str, token_id: str, used_ms: int) -> None:
        rows = self._rows
        # The row exists, so that a deleted token stays deleted. The use is newer, because events arrive in any order.
        is_later = rows.token_id.exists() & (rows.last_used_ms.does_not_exist() | (rows.last_used_ms < used_ms))
        try:
            write(lambda: rows(account_id, token_id).update([rows.last_used_ms.set(used_ms)], is_later))
        except ConditionFailed:
            return
