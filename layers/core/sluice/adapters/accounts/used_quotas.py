"""Used quotas of addresses, in the throttles table: an item's key is an HMAC of the address, and it has a TTL.

Nobody can tell the address from the item without the key, and the item names no account (docs/adr/0082).
"""

import hashlib
import hmac
from collections.abc import Callable

from sluice.adapters.aws import dynamo
from sluice.domain.periods import period_ends_ms

SCHEMA = 1
CONTEXT = "sluice used quota 1"  # keeps these HMACs apart from any other use of the key


class DynamoUsedQuotas:
    """`sluice.ports.UsedQuotas`. `key` reads the secret when the first address is looked up."""

    def __init__(self, table_prefix: str, key: Callable[[], bytes]) -> None:
        self._table, self._secret = table_prefix + "throttles", key

    def put(self, email_key: str, period: int, tokens: int) -> None:
        kept = {"period": period, "tokens": tokens, "ttl_s": period_ends_ms(period) // 1000, "schema": SCHEMA}
        item = dynamo.item({"throttle_key": self._key(email_key), **kept})
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._table, Item=item))

    def get(self, email_key: str, period: int) -> int:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=dynamo.item({"throttle_key": self._key(email_key)}), ConsistentRead=True
            )
        kept = dynamo.values(answer.get("Item", {}))
        return int(kept["tokens"]) if kept.get("period") == period else 0

    def _key(self, email_key: str) -> str:
        signed = f"{CONTEXT}\0{email_key}".encode()
        return "quota#" + hmac.digest(self._secret(), signed, hashlib.sha256).hex()
