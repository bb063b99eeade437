"""Reads logged prompts and responses from the contents table, by the ids of their requests.

The hot store writes them (`put_content`), for accounts that log content.
"""

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.contents import LoggedContent

BATCH_TRIES = 5  # the store answers in parts if the items are large or the table is throttled


class DynamoContents:
    """`sluice.ports.gateway.ContentStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "contents"

    def everything(self, account_id: str, now_ms: int) -> Iterator[dict[str, Any]]:
        """Logged prompts and responses, chats with their messages, and stored Responses, in the stored form."""
        for stored in dynamo.query(self._table, {"account_id": account_id}):
            if stored.get("ttl_s", now_ms) * 1000 > now_ms:
                yield stored

    def erase_account(self, account_id: str) -> None:
        dynamo.delete_all(
            self._table, dynamo.query(self._table, {"account_id": account_id}, only=("account_id", "item_id"))
        )

    def logged(self, account_id: str, request_ids: Sequence[str], now_ms: int) -> dict[str, LoggedContent]:
        """Leaves out expired items, because DynamoDB deletes them late."""
        keys: list[Any] = [dynamo.item({"account_id": account_id, "item_id": each}) for each in request_ids]
        found: dict[str, LoggedContent] = {}
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
                    found[plain["item_id"]] = LoggedContent(plain["prompt"], plain["response"])
            unprocessed: Any = answer.get("UnprocessedKeys", {})
            keys = unprocessed.get(self._table, {}).get("Keys", [])
        if keys:
            raise StoreUnavailable()
        return found
