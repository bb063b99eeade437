"""Reads logged prompts and responses from the contents table, by the ids of their requests.

The hot store writes them (`put_content`), for accounts that log content.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.gateway.contents import LoggedContent

COUNTERS = "chats", "responses", "completions"  # how many there are, or were


class DynamoContents:
    """`sluice.ports.gateway.ContentStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "contents"

    def everything(self, account_id: str, now_ms: int) -> Iterator[dict[str, Any]]:
        """Logged prompts and responses, chats with their messages, and what is stored of `/v1`, in the stored form."""
        for stored in dynamo.query(self._table, {"account_id": account_id}):
            if stored.get("ttl_s", now_ms) * 1000 > now_ms and stored["item_id"] not in COUNTERS:
                yield stored

    def erase_account(self, account_id: str, most: int) -> bool:
        keys = dynamo.query(self._table, {"account_id": account_id}, only=("account_id", "item_id"))
        return dynamo.delete_some(self._table, keys, most)

    def logged(self, account_id: str, request_ids: Sequence[str], now_ms: int) -> dict[str, LoggedContent]:
        """Leaves out expired items, because DynamoDB deletes them late."""
        keys = ({"account_id": account_id, "item_id": each} for each in request_ids)
        return {
            plain["item_id"]: LoggedContent(plain["prompt"], plain["response"])
            for plain in dynamo.get_all(self._table, keys)
            if plain["ttl_s"] * 1000 > now_ms
        }
