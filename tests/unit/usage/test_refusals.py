"""Counting refusals in the process: bounds, flushes, and what happens while the store is away."""

import threading
import time
from dataclasses import replace

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.usage.refusals import MAX_COUNTERS, MAX_LAST, OTHER, Refusal, RefusedDay
from sluice.services.usage import refusals as service
from sluice.services.usage.refusals import Refusals
from tests.fakes.hot_store import FakeHotStore, grant_of

NOW_MS = 1_800_000_000_000
DAY = "2027-01-15"


class FakeTable:
    def __init__(self) -> None:
        self.days: dict[tuple[str, str], RefusedDay] = {}
        self.writes, self.away = 0, False
        self.written = threading.Event()

    def add(self, news: RefusedDay, expires_s: int) -> None:
        if self.away:
            raise StoreUnavailable()
        key = news.account_id, news.day
        self.days[key] = self.days.get(key, RefusedDay(*key)) + news
        self.writes += 1
        self.written.set()


class World:
    def __init__(self, *, in_background: bool = False) -> None:
        self.table, self.grants, self.now_ms = FakeTable(), FakeHotStore(), NOW_MS
        self.grants.grants["usr_a"] = grant_of(now_ms=NOW_MS)
        self.refusals = Refusals(
            self.table,  # type: ignore[arg-type]
            self.grants,
            lambda: self.now_ms,
            in_background=in_background,
        )

    def note(self, code: str = "invalid_json", account_id: str = "usr_a", token_id: str = "tok_a") -> None:
        refusal = Refusal(f"req_{self.now_ms}", self.now_ms, token_id, code, 400, "/v1/completions")
        self.refusals.note(account_id, refusal)

    def counts(self) -> dict[tuple[str, str], int]:
        return dict(self.table.days["usr_a", DAY].counts)


def test_on_lambda_a_flood_is_written_once_a_second() -> None:
    world = World()
    for _ in range(1000):
        world.note()
    assert (world.table.writes, world.counts()) == (1, {("tok_a", "invalid_json"): 1})
    world.now_ms += service.FLUSH_EVERY_MS
    world.note()
    assert (world.table.writes, world.counts()) == (2, {("tok_a", "invalid_json"): 1001})


def test_on_one_machine_a_timer_writes_a_second_later_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FLUSH_EVERY_MS", 50)
    before = threading.active_count()
    world = World(in_background=True)
    for _ in range(100):
        world.note()
    assert world.table.writes == 0 and threading.active_count() <= before + 1
    assert world.table.written.wait(10)
    time.sleep(0.2)
    assert world.counts() == {("tok_a", "invalid_json"): 100} and threading.active_count() <= before
    world.note()
    world.refusals.flush()
    assert world.counts() == {("tok_a", "invalid_json"): 101}


def test_while_the_store_is_away_refusals_wait_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_PENDING", 2)
    world = World()
    for account in ("usr_b", "usr_c"):
        world.grants.grants[account] = grant_of(account, now_ms=NOW_MS)
    world.table.away = True
    for account in ("usr_a", "usr_b", "usr_c", "usr_a"):
        world.note(account_id=account)
    world.table.away = False
    world.refusals.flush()
    assert sorted(account for account, _ in world.table.days) == ["usr_a", "usr_b"]
    assert world.counts() == {("tok_a", "invalid_json"): 2}


def test_an_item_that_fails_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(in_background=True)
    world.grants.grants["usr_b"] = grant_of("usr_b", now_ms=NOW_MS)
    add = world.table.add

    def malformed(news: RefusedDay, expires_s: int) -> None:
        if news.account_id == "usr_b":
            raise KeyError("counts")
        add(news, expires_s)

    monkeypatch.setattr(world.table, "add", malformed)
    world.note(account_id="usr_b")
    world.note()
    world.refusals.flush()
    assert world.counts() == {("tok_a", "invalid_json"): 1}


def test_an_account_that_was_deleted_or_never_was_gets_none() -> None:
    world = World()
    world.grants.grants["usr_b"] = replace(grant_of("usr_b", now_ms=NOW_MS), live={}, standing="suspended")
    world.note(account_id="usr_b")
    world.note(account_id="usr_nobody")
    world.refusals.flush()
    assert world.table.days == {}


def test_an_item_has_a_bound_whatever_is_refused() -> None:
    day = RefusedDay("usr_a", DAY)
    for place in range(1000):
        refusal = Refusal(f"req_{place:04}", NOW_MS + place, f"tok_{place}", "invalid_json", 400, "/v1/completions")
        day += RefusedDay("usr_a", DAY, {(refusal.token_id, refusal.code): 1}, (refusal,))
    assert len(day.counts) == MAX_COUNTERS + 1 and sum(day.counts.values()) == 1000
    assert day.counts[OTHER, "invalid_json"] == 1000 - MAX_COUNTERS
    assert [one.request_id for one in day.last] == [f"req_{place:04}" for place in range(999, 999 - MAX_LAST, -1)]
