"""Whether a full store slows the gateway: the same requests before and after it was filled."""

import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.gateway.world import LIMITS, PREFIX, World

BATCH = 25  # the limit of BatchWriteItem
RECORDS_AN_ACCOUNT = 10


def fill(world: World, accounts: int, records: int) -> float:
    """Write grants and ledger records directly to the store. Returns the seconds it took."""
    from sluice.adapters.gateway.hot_store import DynamoHotStore
    from sluice.wiring import stores

    store = stores.hot_store()
    assert isinstance(store, DynamoHotStore)
    began = time.monotonic()
    for table, items in (("grants", _grants(accounts)), ("ledger", _records(records, accounts))):
        for batch in _batches(items):
            puts = [{"PutRequest": {"Item": item}} for item in batch]
            store._client.call("BatchWriteItem", {"RequestItems": {PREFIX + table: puts}})
    return time.monotonic() - began


def _batches(items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _grants(count: int) -> Iterator[dict[str, Any]]:
    from sluice.adapters.aws import dynamo
    from sluice.domain.gateway.grants import new_grant

    made = new_grant("usr_", now_ms=time.time_ns() // 1_000_000, **LIMITS)
    text = json.dumps(dynamo.item(made))
    for n in range(count):
        yield json.loads(text) | {"account_id": {"S": _account(n)}}


def _records(count: int, accounts: int) -> Iterator[dict[str, Any]]:
    from sluice.adapters.gateway.hot_store import record_item
    from sluice.domain.ids import request_id
    from sluice.domain.usage.ledger import LedgerRecord

    now_ms = time.time_ns() // 1_000_000
    for n in range(count):
        made_ms = now_ms - n
        yield record_item(
            LedgerRecord(
                _account(n // RECORDS_AN_ACCOUNT % max(1, accounts)), request_id(made_ms), "tok_filled", "demo",
                "chat.completions", False, 200, 12, 8, 0, 1, made_ms, 400, 30, "stop", 202601,
            )
        )  # fmt: skip


def _account(number: int) -> str:
    return f"usr_filled{number:08d}"
