"""Refused requests, beside the roll-ups: one item a day of an account, under the key `refusals#DAY`. Items expire.

An item is read, added to and put back if nobody changed it meanwhile, because only so its size has a bound.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import StoreUnavailable
from sluice.domain.usage.refusals import Refusal, RefusedDay

SCHEMA = 1
PREFIX = "refusals#"  # after every day, so that no reader of roll-ups meets it
ATTEMPTS = 6
MAX_PAGES = 10  # of 1 MB, that one page of the admin's view scans
ENOUGH = 50  # days of accounts that end a page
AS_READ = "version = :version"
IS_NEW = "attribute_not_exists(account_id)"
BETWEEN = "#bucket BETWEEN :first AND :last"
BUCKET = {"#bucket": "bucket"}


class DynamoRefusals:
    """`sluice.ports.usage.RefusalStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "rollups"

    def add(self, news: RefusedDay, expires_s: int) -> None:
        """Errors: StoreUnavailable, also if others changed the item at each attempt."""
        key = dynamo.item({"account_id": news.account_id, "bucket": PREFIX + news.day})
        with dynamo.store_errors():
            found = dynamo.client().get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        stored: Mapping[str, Any] = dynamo.values(found)
        for _ in range(ATTEMPTS):
            try:
                self._put((_day(stored) if stored else RefusedDay(news.account_id, news.day)) + news, stored, expires_s)
                return
            except dynamo.ConditionFailed as exc:
                stored = exc.old
        raise StoreUnavailable()

    def _put(self, day: RefusedDay, before: Mapping[str, Any], expires_s: int) -> None:
        version = before.get("version", 0)
        item = {
            "account_id": day.account_id,
            "bucket": PREFIX + day.day,
            "schema": SCHEMA,
            "version": version + 1,
            "counts": {f"{token_id}#{code}": count for (token_id, code), count in day.counts.items()},
            "last": [asdict(one) for one in day.last],
            "ttl_s": expires_s,
        }
        condition: dict[str, Any] = {"ConditionExpression": IS_NEW}
        if before:
            values = dynamo.item({":version": version})
            condition = {"ConditionExpression": AS_READ, "ExpressionAttributeValues": values}
        dynamo.write(
            lambda: dynamo.client().put_item(
                TableName=self._table,
                Item=dynamo.item(item),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **condition,
            )
        )

    def between(self, account_id: str, first_day: str, last_day: str) -> Iterator[RefusedDay]:
        query: dict[str, Any] = {
            "KeyConditionExpression": f"account_id = :account AND {BETWEEN}",
            "ExpressionAttributeNames": BUCKET,
            "ExpressionAttributeValues": dynamo.item({":account": account_id, **_days(first_day, last_day)}),
        }
        while True:
            with dynamo.store_errors():
                page = dynamo.client().query(TableName=self._table, ConsistentRead=True, **query)
            yield from (_day(dynamo.values(item)) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def everyones(
        self, first_day: str, last_day: str, after: tuple[str, ...] | None
    ) -> tuple[list[RefusedDay], tuple[str, ...] | None]:
        """A bounded scan, for admins only (ADR 22)."""
        scan: dict[str, Any] = {
            "FilterExpression": BETWEEN,
            "ExpressionAttributeNames": BUCKET,
            "ExpressionAttributeValues": dynamo.item(_days(first_day, last_day)),
        }
        found: list[RefusedDay] = []
        for _ in range(MAX_PAGES):
            if after:
                scan["ExclusiveStartKey"] = dynamo.item({"account_id": after[0], "bucket": after[1]})
            with dynamo.store_errors():
                page = dynamo.client().scan(TableName=self._table, **scan)
            found += (_day(dynamo.values(item)) for item in page["Items"])
            start = dynamo.values(page.get("LastEvaluatedKey", {}))
            after = (start["account_id"], start["bucket"]) if start else None
            if after is None or len(found) >= ENOUGH:
                break
        return found, after

    def erase_account(self, account_id: str) -> None:
        days = self.between(account_id, "", "~")
        keys = ({"account_id": account_id, "bucket": PREFIX + day.day} for day in days)
        dynamo.delete_all(self._table, keys)


def _days(first_day: str, last_day: str) -> dict[str, str]:
    return {":first": PREFIX + first_day, ":last": PREFIX + last_day}


def _day(plain: Mapping[str, Any]) -> RefusedDay:
    pairs = ((key.rpartition("#"), count) for key, count in plain["counts"].items())
    return RefusedDay(
        plain["account_id"],
        plain["bucket"].removeprefix(PREFIX),
        {(token_id, code): count for (token_id, _, code), count in pairs},
        tuple(Refusal(**one) for one in plain["last"]),
    )
