"""Every table, declared once as data: what a local run creates, and what a test holds the template to.

Reasons for each key are in `docs/architecture.md`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Index:
    name: str
    hash_key: str
    range_key: str | None = None
    keys_only: bool = False


@dataclass(frozen=True)
class Table:
    name: str
    hash_key: str
    range_key: str | None = None
    indexes: tuple[Index, ...] = ()
    stream: bool = False
    ttl: bool = False  # attribute `ttl_s`, Unix seconds


TABLES = (
    Table("accounts", "pk"),
    Table(
        "mails",
        "mail_id",
        indexes=(
            Index("unsent", "unsent_shard", "due", keys_only=True),
            Index("by_account", "account_id", keys_only=True),
        ),
        stream=True,
        ttl=True,
    ),
    Table("sessions", "session_id", indexes=(Index("by_account", "account_id"),), ttl=True),
    Table("tokens", "account_id", "token_id"),
    Table("grants", "account_id", indexes=(Index("busy", "busy_shard", "account_id", keys_only=True),)),
    Table("ledger", "account_id", "request_id", stream=True),
    Table("contents", "account_id", "item_id", ttl=True),
    Table("rollups", "account_id", "bucket"),
    Table("throttles", "throttle_key", ttl=True),
    Table("documents", "account_id", "item_id", indexes=(Index("pending", "pending_shard", "due", keys_only=True),)),
    Table("audit", "day", "event_id", indexes=(Index("by_actor", "actor"), Index("by_target", "target"))),
)
TTL_ATTRIBUTE = "ttl_s"


def definition(table: Table, prefix: str) -> dict[str, Any]:
    """The arguments of `CreateTable`. All keys are strings."""
    keys = {table.hash_key, table.range_key} | {k for i in table.indexes for k in (i.hash_key, i.range_key)}
    wanted: dict[str, Any] = {
        "TableName": prefix + table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _key_schema(table.hash_key, table.range_key),
        "AttributeDefinitions": [{"AttributeName": k, "AttributeType": "S"} for k in sorted(filter(None, keys))],
    }
    if table.indexes:
        wanted["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": _key_schema(index.hash_key, index.range_key),
                "Projection": {"ProjectionType": "KEYS_ONLY" if index.keys_only else "ALL"},
            }
            for index in table.indexes
        ]
    if table.stream:
        wanted["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    return wanted


def _key_schema(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return [*schema, {"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else schema


def create_missing(client: "DynamoDBClient", prefix: str) -> list[str]:
    """Create what is not there yet; returns the names created. Safe to run twice at once."""
    there = set(client.list_tables()["TableNames"])  # eleven tables: one page
    created = []
    for table in TABLES:
        wanted = definition(table, prefix)
        if wanted["TableName"] in there:
            continue
        try:
            client.create_table(**wanted)
        except client.exceptions.ResourceInUseException:
            continue
        created.append(wanted["TableName"])
        if table.ttl:
            ttl = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
            client.update_time_to_live(TableName=wanted["TableName"], TimeToLiveSpecification=ttl)  # type: ignore[arg-type]
    return created
