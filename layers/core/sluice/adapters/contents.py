"""Logged prompts and responses: items of the contents table named as their request, gone after the retention."""

import random
import time
from collections.abc import Sequence
from typing import Any

from sluice.adapters import dynamo
from sluice.domain.contents import Exchange, cut, expires_s
from sluice.domain.errors import StoreUnavailable

SCHEMA = 1
BATCH_TRIES = 5  # the store answers in parts when they are large, or when it is throttled


class DynamoContents:
    """`sluice.ports.ContentStore`."""

    def __init__(self, table_prefix: str, retention_days: int) -> None:
        self._table = table_prefix + "contents"
        self._retention_days = retention_days

    def put_exchange(self, account_id: str, request_id: str, prompt: str, response: str, now_ms: int) -> None:
        """Whoever calls this has asked whether the account wants its content kept. Safe to repeat."""
        exchange = {
            "account_id": account_id,
            "item_id": request_id,
            "prompt": cut(prompt),
            "response": cut(response),
            "created_ms": now_ms,
            "ttl_s": expires_s(now_ms, self._retention_days),
            "schema": SCHEMA,
        }
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._table, Item=dynamo.item(exchange)))

    def exchanges(self, account_id: str, request_ids: Sequence[str], now_ms: int) -> dict[str, Exchange]:
        """TTL deletes late, so what has expired is left out here."""
        keys: list[Any] = [dynamo.item({"account_id": account_id, "item_id": each}) for each in request_ids]
        found: dict[str, Exchange] = {}
        for attempt in range(BATCH_TRIES):
            if not keys:
                return found
            if attempt:
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
            with dynamo.store_errors():
                request: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
                answer = dynamo.client().batch_get_item(RequestItems=request)
            for stored in answer["Responses"].get(self._table, []):
                plain = dynamo.values(stored)
                if plain["ttl_s"] * 1000 > now_ms:
                    found[plain["item_id"]] = Exchange(plain["prompt"], plain["response"])
            unprocessed: Any = answer.get("UnprocessedKeys", {})
            keys = unprocessed.get(self._table, {}).get("Keys", [])
        if keys:
            raise StoreUnavailable()
        return found
