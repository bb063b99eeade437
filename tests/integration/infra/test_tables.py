"""The tables as they are made: keys, indexes, streams and expiry, on whichever engine."""

from typing import Any

import pytest

from sluice.adapters.aws.tables import TABLES, TTL_ATTRIBUTE, Table, create_missing
from tests.conftest import Store


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_it_is_as_declared(store: Store, table: Table) -> None:
    told: Any = store.client.describe_table(TableName=store.prefix + table.name)["Table"]
    assert [key["AttributeName"] for key in told["KeySchema"]] == [k for k in (table.hash_key, table.range_key) if k]
    found = told.get("GlobalSecondaryIndexes", [])
    indexes = {index["IndexName"]: index["Projection"]["ProjectionType"] for index in found}
    assert indexes == {index.name: "KEYS_ONLY" if index.keys_only else "ALL" for index in table.indexes}
    stream = told.get("StreamSpecification", {})
    assert (stream.get("StreamEnabled", False), stream.get("StreamViewType")) == (
        (True, "KEYS_ONLY") if table.stream else (False, None)
    )
    ttl: Any = store.client.describe_time_to_live(TableName=store.prefix + table.name)["TimeToLiveDescription"]
    on = ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
    assert (on, ttl.get("AttributeName") if on else None) == (table.ttl, TTL_ATTRIBUTE if table.ttl else None)


def test_made_twice_nothing_is_made(store: Store) -> None:
    assert create_missing(store.client, store.prefix) == []
