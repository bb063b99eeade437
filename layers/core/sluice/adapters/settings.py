"""The settings table: one item a version, under one key, so that adding a version that exists is refused."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from sluice.adapters.accounts import audit
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.errors import Conflict, StoreUnavailable
from sluice.domain.settings.versions import StoredSettings

SCHEMA = 1
SITE = "site"
KEPT_S = 366 * 24 * 3600  # a request that was admitted under an older version can still be settled by it
IS_NEW = "attribute_not_exists(version)"
EXISTS = "attribute_exists(version)"


class DynamoSettings:
    """`sluice.ports.settings.SettingsStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._prefix, self._table = table_prefix, table_prefix + "settings"

    def newest(self, limit: int) -> list[StoredSettings]:
        with dynamo.store_errors():
            page = dynamo.client().query(
                TableName=self._table,
                KeyConditionExpression="site = :site",
                ExpressionAttributeValues=dynamo.item({":site": SITE}),
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=limit,
            )
        return [_stored(item) for item in page["Items"]]

    def at(self, version: int) -> StoredSettings | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(TableName=self._table, Key=_key(version), ConsistentRead=True)
        return _stored(answer["Item"]) if "Item" in answer else None

    def put(self, stored: StoredSettings, event: AuditEvent) -> None:
        item = _key(stored.version) | dynamo.item({**asdict(stored), "schema": SCHEMA})
        version: Any = {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": IS_NEW}}
        writes = [version, audit.put_in_transaction(event, self._prefix)]
        try:
            dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))
        except dynamo.ConditionFailed as exc:
            if self.at(stored.version) != stored:  # else it is ours: the first try's answer was lost
                raise Conflict() from exc
        self._let_expire(stored.version - 1, stored.created_ms // 1000 + KEPT_S)

    def _let_expire(self, version: int, ttl_s: int) -> None:
        with suppress(dynamo.ConditionFailed, StoreUnavailable):  # there is none, or it stays for good
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=_key(version),
                    UpdateExpression="SET ttl_s = :ttl_s",
                    ConditionExpression=EXISTS,
                    ExpressionAttributeValues=dynamo.item({":ttl_s": ttl_s}),
                )
            )


def _key(version: int) -> Any:
    return dynamo.item({"site": SITE, "version": version})


def _stored(item: Any) -> StoredSettings:
    """Of an item that may have been written by hand: what is missing or has another type is empty."""
    document, actor, applied = (item.get(name, {}).get("S", "") for name in ("document", "actor", "applied"))
    version, created_ms = (int(float(item.get(name, {}).get("N", 0))) for name in ("version", "created_ms"))
    return StoredSettings(version, document, created_ms, actor, applied, item.get("edited", {}).get("BOOL", True))
