"""The documents table: what the adapters of files and of vector stores share.

    account_id  item_id
    usr_…       held                    bytes and number of the account's files
                file#FILE               a file
                store#STORE             a vector store
                in#STORE#FILE           a file in a store, with its status
                of#FILE#STORE           the same, found from the file
                out#STORE#FILE          a detached file, whose passages the index may still hold (FILE `_`: all)
                gone#FILE               a deleted file, whose bytes may still exist
                uploads                 its uploads in parts, an attribute each, and how many there were

Items that wait for `ingestion`, including traces of deleted ones, have `pending_shard` and `due` (when the wait began),
the keys of the index `pending`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sluice.adapters.aws import dynamo

SCHEMA = 1
PENDING = "waiting"
THERE = "attribute_exists(item_id)"
NOT_THERE = "attribute_not_exists(item_id)"
MOMENT_DIGITS = 15


class Rows:
    """Reads and writes one account's partition. Every method may raise StoreUnavailable."""

    def __init__(self, table_prefix: str) -> None:
        self.table = table_prefix + "documents"

    def key(self, account_id: str, item_id: str) -> dict[str, Any]:
        return {"TableName": self.table, "Key": dynamo.item({"account_id": account_id, "item_id": item_id})}

    def item(self, account_id: str, item_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        whole = {**fields, "account_id": account_id, "item_id": item_id, "schema": SCHEMA}
        return {
            "TableName": self.table,
            "Item": dynamo.item({name: value for name, value in whole.items() if value is not None}),
        }

    def get(self, account_id: str, item_id: str) -> dict[str, Any] | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(**self.key(account_id, item_id), ConsistentRead=True)
        return dynamo.values(answer["Item"]) if "Item" in answer else None

    def starting(
        self,
        account_id: str,
        prefix: str,
        *,
        after: str | None = None,
        newest_first: bool = False,
        limit: int = dynamo.PAGE,
    ) -> Iterator[dict[str, Any]]:
        """Items whose id starts with `prefix`, read in pages of `limit`. ULIDs in the ids sort them by time."""
        query: dict[str, Any] = {
            "TableName": self.table,
            "KeyConditionExpression": "account_id = :account AND begins_with(item_id, :prefix)",
            "ExpressionAttributeValues": dynamo.item({":account": account_id, ":prefix": prefix}),
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
            "Limit": limit,
        }
        if after is not None:
            query["ExclusiveStartKey"] = dynamo.item({"account_id": account_id, "item_id": prefix + after})
        while True:
            with dynamo.store_errors():
                page = dynamo.client().query(**query)
            yield from map(dynamo.values, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def update(self, account_id: str, item_id: str, condition: str = THERE, **expression: Any) -> bool:
        """False if the condition does not hold."""
        return _held(
            lambda: dynamo.client().update_item(
                **self.key(account_id, item_id), ConditionExpression=condition, **expression
            )
        )

    def delete(self, account_id: str, item_id: str) -> bool:
        """False if it did not exist."""
        return _held(lambda: dynamo.client().delete_item(**self.key(account_id, item_id), ConditionExpression=THERE))

    def transact(self, *writes: Mapping[str, Any]) -> None:
        """Errors: dynamo.ConditionFailed, with the failed positions."""
        dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=list(writes)))  # type: ignore[arg-type]

    def trace(self, account_id: str, item_id: str) -> dict[str, Any]:
        """The part of a transaction that records a deletion, so that `ingestion` finds it until it has cleaned up."""
        return {"Put": self.item(account_id, item_id, pending(time.time_ns() // 1_000_000))}

    def erase_account(self, account_id: str, most: int) -> bool:
        keys = dynamo.query(self.table, {"account_id": account_id}, only=("account_id", "item_id"))
        return dynamo.delete_some(self.table, keys, most)


def _held(call: Callable[[], Any]) -> bool:
    try:
        dynamo.write(call)
    except dynamo.ConditionFailed:
        return False
    return True


def pending(since_ms: int) -> dict[str, str]:
    """Attributes that put an item into the index `pending`. One shard suffices for 1,000 uploads a second."""
    return {"pending_shard": PENDING, "due": f"{since_ms:0{MOMENT_DIGITS}d}"}


def in_id(store_id: str, file_id: str) -> str:
    return f"in#{store_id}#{file_id}"


def of_id(file_id: str, store_id: str) -> str:
    return f"of#{file_id}#{store_id}"


def out_id(store_id: str, file_id: str) -> str:
    return f"out#{store_id}#{file_id}"


def file_item_id(file_id: str) -> str:
    return f"file#{file_id}"


def gone_id(file_id: str) -> str:
    return f"gone#{file_id}"


def store_item_id(store_id: str) -> str:
    return f"store#{store_id}"


def finish(**fields: Any) -> dict[str, Any]:
    """An update that sets these fields (None: removes) and takes the item out of the index `pending`."""
    kept = {name: value for name, value in fields.items() if value is not None}
    removed = [name for name, value in fields.items() if value is None]
    return {
        "UpdateExpression": "SET "
        + ", ".join(f"#{name} = :{name}" for name in kept)
        + " REMOVE "
        + ", ".join([*(f"#{name}" for name in removed), "pending_shard", "due", "tries"]),
        "ExpressionAttributeNames": {f"#{name}": name for name in fields},
        "ExpressionAttributeValues": dynamo.item({f":{name}": value for name, value in kept.items()}),
    }
