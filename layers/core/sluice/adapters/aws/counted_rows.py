"""Rows of one kind in an account's partition, of which there may be only so many.

    account_id  item_id
    usr_…       COUNTER     `held`: how many there are
    usr_…       PREFIX…     one of them

A row and its count are written in one transaction, so the bound is exact for any number of callers. Accounts of earlier
versions have rows and no count: the first change counts them, and no row is added or deleted until then.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import LimitReached, StoreUnavailable

THERE = "attribute_exists(item_id)"
IS_NEW = "attribute_not_exists(item_id)"
HAS_ROOM = "held < :most"  # false also if nothing was counted yet
IS_COUNTED = "attribute_exists(held)"
SCHEMA = 1
ATTEMPTS = 5


@dataclass(frozen=True)
class CountedRows:
    """`what`: the rows' name in words."""

    table: str
    prefix: str
    counter: str
    most: int
    what: str

    def add(self, account_id: str, item: dict[str, Any], *more: Any) -> tuple[int, ...]:
        """`item`: in DynamoDB's form. `more`: other writes of the transaction. → the positions whose conditions failed,
        so that nothing was written: 0 if the row is there already, from 2 for `more`.

        Errors: LimitReached, StoreUnavailable."""
        put = {"Put": {"TableName": self.table, "Item": item, "ConditionExpression": IS_NEW}}
        failed = self._change(account_id, 1, HAS_ROOM, {":most": self.most}, put, *more)
        if failed == (1,):
            raise LimitReached(f"This account has {self.most:,} {self.what}, the most it may have. Delete some first.")
        return failed

    def remove(self, account_id: str, item_id: str, *more: Any) -> bool:
        """`more`: other writes of the transaction. False if there was no such row. Errors: StoreUnavailable."""
        delete = {"Delete": {**self._key(account_id, item_id), "ConditionExpression": THERE}}
        return 0 not in self._change(account_id, -1, IS_COUNTED, {}, delete, *more)

    def _change(
        self, account_id: str, by: int, condition: str, values: dict[str, int], row: Any, *more: Any
    ) -> tuple[int, ...]:
        """→ the failed positions: 0 for the row, 1 for the count."""
        count = {
            **self._key(account_id, self.counter),
            "UpdateExpression": "ADD held :by",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": dynamo.item({":by": by, **values}),
        }
        writes: Any = [row, {"Update": count}, *more]
        for _ in range(ATTEMPTS):
            try:
                dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))
                return ()
            except dynamo.ConditionFailed as exc:
                if 1 not in exc.failed or (self._is_full(account_id) and by > 0):
                    return exc.failed
        raise StoreUnavailable()  # others add and delete faster than this

    def _is_full(self, account_id: str) -> bool:
        """False if it may succeed now: nothing was counted until now, or another caller counted or deleted."""
        with dynamo.store_errors():
            found: Any = dynamo.client().get_item(**self._key(account_id, self.counter), ConsistentRead=True)
        if "Item" in found:
            return int(dynamo.values(found["Item"])["held"]) >= self.most
        item = {"account_id": account_id, "item_id": self.counter, "held": self._held(account_id), "schema": SCHEMA}
        put: Any = {"TableName": self.table, "Item": dynamo.item(item), "ConditionExpression": IS_NEW}
        with suppress(dynamo.ConditionFailed):  # another caller counted
            dynamo.write(lambda: dynamo.client().put_item(**put))
        return False

    def _held(self, account_id: str) -> int:
        return sum(
            1 for _ in dynamo.query(self.table, {"account_id": account_id}, begins=self.prefix, only=("item_id",))
        )

    def _key(self, account_id: str, item_id: str) -> Any:
        return {"TableName": self.table, "Key": dynamo.item({"account_id": account_id, "item_id": item_id})}
