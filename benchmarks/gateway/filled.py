"""Fills a store, to see whether that slows the gateway. Rows are copied past the store, which would take an hour."""

import itertools
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from benchmarks.gateway.world import LIMITS, PREFIX, World
from sluice.domain.ids import request_id

BATCH = 25  # the limit of BatchWriteItem
RECORDS_AN_ACCOUNT = 10
ROWS_A_COMMIT = 100_000


def fill(world: World, accounts: int, records: int) -> float:
    """One grant and one ledger record by the store, and their rows as often as wanted. Returns the seconds it took."""
    began = time.monotonic()
    put("grants", grants(1))
    put("ledger", _record())
    with closing(sqlite3.connect(world.folder / "store.db", timeout=60.0)) as database:
        copy(database, PREFIX + "grants", ((_account(n), "") for n in range(1, accounts)))
        now_ms = time.time_ns() // 1_000_000
        keys = ((_account(n // RECORDS_AN_ACCOUNT % accounts), request_id(now_ms - n)) for n in range(1, records))
        copy(database, PREFIX + "ledger", keys)
    return time.monotonic() - began


def copy(database: sqlite3.Connection, table: str, keys: Iterator[tuple[str, str]]) -> None:
    """The row of the account `usr_filled…0`, once for each pair of partition key and sort key ("": there is none)."""
    asked = f'SELECT pk, sk, item_json, item_size FROM "{table}" WHERE pk = ?'
    partition, sort, text, size = database.execute(asked, ("S:" + _account(0),)).fetchone()

    def rows() -> Iterator[tuple[str, str, str, int, str]]:
        for one, other in keys:
            item = text.replace(partition[2:], one)
            spread = f"{zlib.crc32(one.encode()):08x}"[:6]  # the store's own is a hash, too
            yield (
                f"S:{one}",
                f"S:{other}" if other else "",
                item.replace(sort[2:], other) if sort else item,
                size,
                spread,
            )

    put = f'INSERT INTO "{table}" (pk, sk, item_json, item_size, hash_prefix) VALUES (?, ?, ?, ?, ?)'
    made = rows()
    while some := list(itertools.islice(made, ROWS_A_COMMIT)):
        with database:
            database.executemany(put, some)


def put(table: str, items: Iterator[dict[str, Any]]) -> None:
    from sluice.adapters.gateway.hot_store import DynamoHotStore
    from sluice.wiring import stores

    store = stores.hot_store()
    assert isinstance(store, DynamoHotStore)
    for batch in _batches(items):
        puts = [{"PutRequest": {"Item": item}} for item in batch]
        store._client.call("BatchWriteItem", {"RequestItems": {PREFIX + table: puts}})


def _batches(items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def grants(count: int) -> Iterator[dict[str, Any]]:
    from sluice.adapters.aws import dynamo
    from sluice.domain.gateway.grants import new_grant

    made = new_grant("usr_", now_ms=time.time_ns() // 1_000_000, **LIMITS)
    text = json.dumps(dynamo.item(made))
    for n in range(count):
        yield json.loads(text) | {"account_id": {"S": _account(n)}}


def _record() -> Iterator[dict[str, Any]]:
    from sluice.adapters.gateway.hot_store import record_item
    from sluice.domain.usage.ledger import LedgerRecord

    now_ms = time.time_ns() // 1_000_000
    yield record_item(
        LedgerRecord(
            _account(0), request_id(now_ms), "tok_filled", "demo", "chat.completions", False, 200, 12, 8, 0, 1, now_ms,
            400, 30, "stop", 202601,
        )
    )  # fmt: skip


def _account(number: int) -> str:
    return f"usr_filled{number:08d}"
