"""The declared tables as DynamoDB's API describes them: arguments of `CreateTable` and of `UpdateTimeToLive`."""

from typing import Any

from pynamodb.attributes import TTLAttribute
from pynamodb.indexes import Index
from pynamodb.models import Model


def definition(table: type[Model], prefix: str) -> dict[str, Any]:
    """The arguments of `CreateTable`. All keys are strings."""
    keys = {one.attr_name: one for one in table.get_attributes().values() if one.is_hash_key or one.is_range_key}
    indexes = [one for one in vars(table).values() if isinstance(one, Index)]  # in the order of their declaration
    for index in indexes:
        keys |= index.Meta.attributes
    wanted: dict[str, Any] = {
        "TableName": prefix + table.Meta.table_name,
        "BillingMode": table.Meta.billing_mode,
        "KeySchema": _key_schema(table.get_attributes().values()),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": one.attr_type} for name, one in sorted(keys.items())
        ],
    }
    if indexes:
        wanted["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.Meta.index_name,
                "KeySchema": _key_schema(index.Meta.attributes.values()),
                "Projection": {"ProjectionType": index.Meta.projection.projection_type},
            }
            for index in indexes
        ]
    if hasattr(table.Meta, "stream_view_type"):
        wanted["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.Meta.stream_view_type}
    return wanted


def expiry(table: type[Model]) -> dict[str, Any] | None:
    """The `TimeToLiveSpecification` of a table whose items expire: its attribute holds Unix seconds."""
    names = [one.attr_name for one in table.get_attributes().values() if isinstance(one, TTLAttribute)]
    return {"Enabled": True, "AttributeName": names[0]} if names else None


def _key_schema(attributes: Any) -> list[dict[str, str]]:
    keys = [
        (one.attr_name, "HASH" if one.is_hash_key else "RANGE")
        for one in attributes
        if one.is_hash_key or one.is_range_key
    ]
    return [{"AttributeName": name, "KeyType": kind} for name, kind in sorted(keys, key=lambda key: key[1])]
