"""Counting refusals in the process: bounds, flushes, and what happens while the store is away."""

import logging
import threading
import time
from dataclasses import replace

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.spans import Span
from sluice.domain.usage.refusals import MAX_COUNTERS, MAX_LAST, OTHER, Refusal, RefusedDay
from sluice.services.usage import refusals as service
from sluice.services.usage.refusals import Refusals
from tests.fakes.hot_store import FakeHotStore, grant_of
from tests.waiting import eventually

NOW_MS = 1_800_000_000_000
DAY = "2027-01-15"


class FakeTable:
    def __init__(self) -> None:
        self.days: dict[tuple[str, str], RefusedDay] = {}
        self.writes, self.tries, self.away = 0, 0, False
        self.written = threading.Event()

    def add(self, news: RefusedDay, expires_s: int) -> None:
        self.tries += 1
        if self.away:
            raise StoreUnavailable()
        key = news.account_id, news.day
        self.days[key] = self.days.get(key, RefusedDay(*key)) + news
        self.writes += 1
        self.written.set()

    def between(self, account_id: str, first_day: str, last_day: str) -> list[RefusedDay]:
        return [day for day in self.days.values() if day.account_id == account_id]

    def everyones(self, first_day: str, last_day: str, after: object) -> tuple[list[RefusedDay], None]:
        return list(self.days.values()), None


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

    def note_others(self, count: int) -> None:
        for place in range(count):
            account_id = f"usr_{place:04}"
            self.grants.grants[account_id] = grant_of(account_id, now_ms=NOW_MS)
            self.note(account_id=account_id)

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
    begins = threading.Event()

    class Held(threading.Timer):
        """Its time begins when the test says so."""

        def run(self) -> None:
            assert begins.wait(60)
            super().run()

    monkeypatch.setattr(threading, "Timer", Held)
    monkeypatch.setattr(service, "FLUSH_EVERY_MS", 50)
    before = threading.active_count()
    world = World(in_background=True)
    for _ in range(100):
        world.note()
    assert world.table.writes == 0 and threading.active_count() <= before + 1
    begins.set()
    assert world.table.written.wait(60)
    eventually(lambda: threading.active_count() <= before)
    assert world.counts() == {("tok_a", "invalid_json"): 100}
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


TODAY = Span(NOW_MS, NOW_MS + 1)


def test_an_answer_writes_its_own_accounts_refusals_only() -> None:
    world = World(in_background=True)
    world.note_others(100)
    world.note()
    world.table.tries = 0
    report = world.refusals.of_account("usr_a", TODAY)
    assert (world.table.tries, [one.token_id for _, one in report.last]) == (1, ["tok_a"])
    world.refusals.flush()
    assert world.table.writes == 101


def test_a_flush_gives_up_a_store_that_is_away_logs_it_once_and_keeps_all(caplog: pytest.LogCaptureFixture) -> None:
    world = World(in_background=True)
    world.note_others(100)
    world.table.away = True
    with caplog.at_level(logging.WARNING):
        world.refusals.everyones(TODAY, None)
    assert (world.table.tries, len(caplog.records)) == (service.DOWN_AFTER, 1)
    world.table.away = False
    world.refusals.flush()
    assert world.table.writes == 100


def test_a_flush_into_a_slow_store_ends_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(in_background=True)
    monkeypatch.setattr(service, "FLUSH_FOR_SECONDS", 0.05)
    world.note_others(20)
    add = world.table.add
    monkeypatch.setattr(world.table, "add", lambda news, expires_s: (time.sleep(0.02), add(news, expires_s)))
    world.refusals.flush()
    assert 1 <= world.table.writes < 10
    for _ in range(20):
        world.refusals.flush()
    assert world.table.writes == 20


def test_a_reader_does_not_wait_for_a_flush_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    world, hanging, go_on = World(in_background=True), threading.Event(), threading.Event()
    monkeypatch.setattr(service, "FLUSH_FOR_SECONDS", 0.05)
    monkeypatch.setattr(world.table, "add", lambda *_: (hanging.set(), go_on.wait(60)))
    world.note()
    flush = threading.Thread(target=world.refusals.flush)
    flush.start()
    try:
        assert hanging.wait(60)
        world.refusals.of_account("usr_b", TODAY)
        assert flush.is_alive(), "it hangs still"
    finally:
        go_on.set()
        flush.join()


def test_what_the_store_did_not_take_is_written_without_another_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FLUSH_EVERY_MS", 50)
    world = World(in_background=True)
    world.table.away = True
    world.note()
    world.refusals.flush()
    world.table.away = False
    assert world.table.written.wait(60) and world.counts() == {("tok_a", "invalid_json"): 1}


def test_an_item_has_a_bound_whatever_is_refused() -> None:
    day = RefusedDay("usr_a", DAY)
    for place in range(1000):
        refusal = Refusal(f"req_{place:04}", NOW_MS + place, f"tok_{place}", "invalid_json", 400, "/v1/completions")
        day += RefusedDay("usr_a", DAY, {(refusal.token_id, refusal.code): 1}, (refusal,))
    assert len(day.counts) == MAX_COUNTERS + 1 and sum(day.counts.values()) == 1000
    assert day.counts[OTHER, "invalid_json"] == 1000 - MAX_COUNTERS
    assert [one.request_id for one in day.last] == [f"req_{place:04}" for place in range(999, 999 - MAX_LAST, -1)]
