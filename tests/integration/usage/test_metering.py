"""Roll-ups equal the ledger, however the stream delivers its records."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.usage.rollups import DynamoRollups
from sluice.domain.errors import StoreUnavailable
from sluice.domain.tokens import ApiToken
from sluice.domain.usage.ledger import LedgerRecord
from sluice.wiring import stores
from tests.integration.usage.world import HOUR_MS, UsageWorld, now_ms

DAY_MS = 24 * HOUR_MS


def some_records(world: UsageWorld, count: int = 24) -> list[LedgerRecord]:
    """Over three days, two models and three API tokens."""
    now = now_ms()
    return [
        world.record(
            at_ms=now - place % 3 * DAY_MS - place,
            model=("demo", "odd#name")[place % 2],
            token_id=f"tok_{place % 3}",
            response_time_ms=None if place == 5 else place,
        )
        for place in range(count)
    ]


def test_each_record_counts_once_for_any_order_and_number_of_deliveries(world: UsageWorld) -> None:
    records = some_records(world)
    deliveries = records * 5
    random.Random(7).shuffle(deliveries)
    for start in range(0, len(deliveries), 17):
        assert world.deliver(deliveries[start : start + 17]) == []
    assert world.rollups() == world.truth()
    assert sum(amounts.requests for amounts in world.rollups().values()) == len(records)


def test_two_concurrent_handlers_of_the_same_records_count_them_once(world: UsageWorld) -> None:
    records = some_records(world)
    start = threading.Barrier(4)

    def deliver(seed: int) -> list[str]:
        mine = list(records)
        random.Random(seed).shuffle(mine)
        start.wait()
        return world.deliver(mine)

    with ThreadPoolExecutor(4) as handlers:
        assert list(handlers.map(deliver, range(4))) == [[], [], [], []]
    assert world.rollups() == world.truth()


@pytest.mark.parametrize("commits", [False, True], ids=["before the write", "after the write, before its answer"])
def test_a_handler_that_dies_before_or_after_the_write_loses_and_doubles_nothing(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    records = some_records(world)
    fold: Callable[..., bool] = DynamoRollups.fold

    def dying(self: DynamoRollups, records: list[LedgerRecord], now: int) -> bool:
        if commits:
            fold(self, records, now)
        raise StoreUnavailable()

    with monkeypatch.context() as dead:
        dead.setattr(DynamoRollups, "fold", dying)
        assert world.deliver(records) == [record.request_id for record in records]
    assert world.deliver(records) == []
    assert world.rollups() == world.truth()


def test_a_record_that_cannot_be_folded_fails_alone(world: UsageWorld) -> None:
    good = some_records(world, 6)
    too_long = world.record(model="m" * 1100)  # its roll-up's key is longer than the store's keys may be
    spoilt = replace(world.record(), request_id="req_" + "0" * 26)
    world.put_item("ledger", account_id=spoilt.account_id, request_id=spoilt.request_id, model="demo")
    assert set(world.deliver([good[0], too_long, *good[1:3], spoilt, *good[3:]])) == {
        too_long.request_id,
        spoilt.request_id,
    }
    assert sum(amounts.requests for amounts in world.rollups().values()) == len(good)


def test_modifications_and_deleted_records_are_ignored(world: UsageWorld) -> None:
    record = world.record()
    assert world.deliver([record], event_name="MODIFY") == []
    assert world.rollups() == {}
    assert world.deliver([replace(record, request_id="req_" + "0" * 26)]) == []
    assert world.rollups() == {}


def test_while_the_store_is_unavailable_every_record_is_delivered_again(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = some_records(world, 8)
    calls = []

    def away(*arguments: Any) -> Any:
        calls.append(arguments)
        raise StoreUnavailable()

    monkeypatch.setattr(type(stores.ledger_reader()), "get", away)
    assert world.deliver(records) == [record.request_id for record in records]
    assert len(calls) == 3, "once it is known to be down, the rest of the batch does not wait for it"


def token(world: UsageWorld, account_id: str = "usr_a") -> ApiToken:
    row = ApiToken(
        account_id=account_id,
        token_id="tok_a",
        name="laptop",
        hint="abcdef",
        scopes=("inference",),
        models=None,
        created_ms=1,
        expires_ms=now_ms() + HOUR_MS,
    )
    stores.token_store().put(row)
    return row


def last_use(world: UsageWorld) -> int | None:
    row = stores.token_store().get("usr_a", "tok_a")
    return row.last_used_ms if row else None


def test_the_last_use_of_an_api_token_is_the_latest_in_any_order_of_delivery(world: UsageWorld) -> None:
    token(world)
    now = now_ms()
    old, new = world.record(at_ms=now - HOUR_MS), world.record(at_ms=now)
    world.deliver([new])
    world.deliver([old])
    assert last_use(world) == now


def test_a_deleted_api_token_stays_deleted(world: UsageWorld) -> None:
    token(world)
    record = world.record()
    stores.token_store().delete("usr_a", "tok_a")
    assert world.deliver([record]) == []
    assert stores.token_store().get("usr_a", "tok_a") is None
