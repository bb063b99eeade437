"""The created tables have the declared keys, indexes, streams and expiry, on every engine."""

from typing import Any

import pytest
from pynamodb.models import Model

from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition, expiry
from tests.conftest import Store
from tests.tables import create_missing


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.Meta.table_name)
def test_the_table_is_created_as_declared(store: Store, table: type[Model]) -> None:
    wanted = definition(table, store.prefix)
    told: Any = store.client.describe_table(TableName=wanted["TableName"])["Table"]
    assert told["KeySchema"] == wanted["KeySchema"]
    assert _indexes(told) == _indexes(wanted)
    stream = told.get("StreamSpecification", {})
    asked: Any = wanted.get("StreamSpecification", {})
    assert stream.get("StreamEnabled", False) == asked.get("StreamEnabled", False)
    assert stream.get("StreamViewType") == asked.get("StreamViewType")
    ttl: Any = store.client.describe_time_to_live(TableName=wanted["TableName"])["TimeToLiveDescription"]
    on = ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
    assert ({"Enabled": True, "AttributeName": ttl["AttributeName"]} if on else None) == expiry(table)


def _indexes(table: dict[str, Any]) -> dict[str, Any]:
    found = table.get("GlobalSecondaryIndexes", [])
    return {index["IndexName"]: (index["KeySchema"], index["Projection"]) for index in found}


def test_existing_tables_are_not_created_again(store: Store) -> None:
    assert create_missing(store.client, store.prefix) == []
