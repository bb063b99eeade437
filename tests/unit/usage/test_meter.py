"""Metering over stores in memory: which records are delivered again, and which never delay the others."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.ids import request_id_at
from sluice.domain.usage.ledger import LedgerRecord
from sluice.services.usage.meter import DOWN_AFTER, Delivery, Metering

NOW_MS = 1_795_233_605_000


def record(place: int, token_id: str = "tok_a") -> LedgerRecord:
    at_ms = NOW_MS + place
    return LedgerRecord(
        "usr_a", request_id_at(at_ms), token_id, "demo", "completions", False, 200,
        2, 3, 0, 5, at_ms, 9, None, None, 202611,
    )  # fmt: skip


class World:
    """Every port of metering at once; `broken` are request ids, `away` names the calls that fail."""

    def __init__(self, records: list[LedgerRecord]) -> None:
        self.records = {each.request_id: each for each in records}
        self.broken: dict[str, Exception] = {}
        self.away: set[str] = set()
        self.gets = self.folds = 0
        self.folded: list[str] = []
        self.uses: list[tuple[str, int]] = []
        self.checked: list[str] = []

    def _reach(self, call: str) -> None:
        if call in self.away:
            raise StoreUnavailable()

    def get(self, account_id: str, request_id: str) -> LedgerRecord | None:
        self.gets += 1
        self._reach("get")
        return self.records.get(request_id)

    def fold(self, records: Sequence[LedgerRecord], now_ms: int) -> bool:
        self.folds += 1
        self._reach("fold")
        for record in records:
            if record.request_id in self.broken:
                raise self.broken[record.request_id]
        if {record.request_id for record in records} & set(self.folded):
            return False
        self.folded += [record.request_id for record in records]
        return True

    def used(self, account_id: str, token_id: str, used_ms: int) -> None:
        self._reach("used")
        self.uses.append((token_id, used_ms))

    def check(self, account_id: str, now_ms: int) -> list[object]:
        self._reach("check")
        self.checked.append(account_id)
        return []

    def meter(self, records: list[LedgerRecord]) -> list[str]:
        deliveries = [Delivery(f"d{place}", each.account_id, each.request_id) for place, each in enumerate(records)]
        return Metering(self, self, self, self).meter(deliveries, NOW_MS)  # type: ignore[arg-type]


def test_tokens_and_quotas_are_read_once_a_batch() -> None:
    records = [record(place, f"tok_{place % 2}") for place in range(6)]
    world = World(records)
    assert world.meter(records) == []
    assert world.uses == [("tok_0", NOW_MS + 4), ("tok_1", NOW_MS + 5)]
    assert world.checked == ["usr_a"]


def test_the_playgrounds_last_use_is_not_stored() -> None:
    records = [record(0, "playground")]
    world = World(records)
    assert world.meter(records) == []
    assert (world.uses, world.folded) == ([], [records[0].request_id])


@pytest.mark.parametrize("cause", [StoreUnavailable(), KeyError("spoilt"), ValueError("spoilt")])
def test_a_record_that_cannot_be_folded_fails_alone(cause: Exception) -> None:
    records = [record(place) for place in range(5)]
    world = World(records)
    world.broken[records[2].request_id] = cause
    assert world.meter(records) == ["d2"]
    assert len(world.folded) == 4


def test_many_bad_records_do_not_count_as_an_unavailable_store() -> None:
    records = [record(place) for place in range(8)]
    world = World(records)
    world.broken = {each.request_id: TypeError("spoilt") for each in records[:6]}
    assert world.meter(records) == [f"d{place}" for place in range(6)]
    assert len(world.folded) == 2


def test_an_unavailable_store_is_called_a_few_times_only() -> None:
    records = [record(place) for place in range(50)]
    world = World(records)
    world.away = {"get"}
    assert world.meter(records) == [f"d{place}" for place in range(50)]
    assert world.gets == DOWN_AFTER


def test_a_last_use_that_cannot_be_stored_fails_no_record() -> None:
    records = [record(0)]
    world = World(records)
    world.away = {"used"}
    assert world.meter(records) == []


def test_a_quota_that_cannot_be_checked_has_the_accounts_last_record_delivered_again() -> None:
    records = [record(place) for place in range(3)]
    world = World(records)
    world.away = {"check"}
    assert world.meter(records) == ["d2"]


def test_records_of_one_roll_up_are_folded_together_each_once() -> None:
    records = [record(place) for place in range(150)]
    world = World(records)
    assert world.meter([*records, *records]) == []
    assert sorted(world.folded) == sorted(world.records)
    assert world.folds == 2


def test_a_record_that_another_handler_folded_does_not_stop_the_others() -> None:
    records = [record(place) for place in range(5)]
    world = World(records)
    world.folded = [records[3].request_id]
    assert world.meter(records) == []
    assert sorted(world.folded) == sorted(world.records)


def test_a_store_that_fails_after_the_reads_is_called_a_few_times_only() -> None:
    records = [record(place, f"tok_{place}") for place in range(9)]
    world = World(records)
    world.away = {"fold"}
    assert world.meter(records) == [f"d{place}" for place in range(9)]
    assert world.folds == DOWN_AFTER


def test_a_record_with_an_invalid_id_fails_alone() -> None:
    odd = replace(record(0), request_id="nonsense")
    records = [record(1), odd, record(2)]
    world = World(records)
    assert world.meter(records) == ["d1"]
    assert len(world.folded) == 2
