"""Which settings are in force in a process: at most 5 s old, never older than known, whatever the store says."""

import threading
import time
from typing import Any

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.settings.owners import OwnersSettings
from sluice.domain.settings.versions import InForce, StoredSettings, differences, in_force
from sluice.services.settings.in_force import FRESH_SECONDS, SettingsInForce


def stored(version: int, name: str = "", document: str = "") -> StoredSettings:
    return StoredSettings(version, document or f'{{"site": {{"name": "{name or version}"}}}}', 1, "usr_a")


class Versions:
    """The store's versions, newest first."""

    def __init__(self, *items: StoredSettings) -> None:
        self.items, self.reads, self.away = list(items), 0, False

    def newest(self, limit: int) -> list[StoredSettings]:
        self.reads += 1
        if self.away:
            raise StoreUnavailable()
        return self.items[:limit]


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def process(store: Any) -> tuple[SettingsInForce, Clock]:
    clock = Clock()
    return SettingsInForce(store, clock), clock


def name(found: InForce) -> str:
    return found.or_empty().site.name


def test_without_an_item_everything_has_its_default() -> None:
    found, _ = process(Versions())
    assert found.current() == InForce()
    assert name(found.current()) == "Sluice"


def test_a_change_is_in_force_within_ten_seconds_and_is_read_once_in_five() -> None:
    store = Versions(stored(1))
    found, clock = process(store)
    assert name(found.current()) == "1"
    store.items.insert(0, stored(2))
    for _ in range(100):
        clock.now_s += FRESH_SECONDS / 100 - 0.001
        assert name(found.current()) == "1"
    assert store.reads == 1
    clock.now_s += 1
    assert name(found.current()) == "2"
    assert FRESH_SECONDS <= 5


def test_no_process_goes_back_to_an_older_version() -> None:
    new, old = Versions(stored(2), stored(1)), Versions(stored(1))
    (ahead, clock), (behind, other) = process(new), process(old)
    assert (name(ahead.current()), name(behind.current())) == ("2", "1")
    new.items.pop(0)  # a replica that lags, or a hand that deleted it
    old.items.insert(0, stored(2))
    clock.now_s += 60
    other.now_s += 60
    assert (name(ahead.current()), name(behind.current())) == ("2", "2")
    assert ahead.read().version == 2


def test_reads_that_overtake_each_other_leave_the_newer_version() -> None:
    may_answer = threading.Event()

    class Slow(Versions):
        def newest(self, limit: int) -> list[StoredSettings]:
            if threading.current_thread() is slow:
                may_answer.wait(10)
                return [stored(1)]
            return [stored(2), stored(1)]

    found, _ = process(Slow())
    slow = threading.Thread(target=found.read)
    slow.start()
    assert found.read().version == 2
    may_answer.set()
    slow.join()
    assert found.known().version == 2


@pytest.mark.parametrize("document", ["", "{", "[]", "null", '{"site": {"name": 5}}', '{"a": 1}', "[" * 20_000])
def test_broken_item_leaves_the_last_good_one_in_force_and_is_told(document: str) -> None:
    store = Versions(stored(7))
    found, clock = process(store)
    assert name(found.current()) == "7"
    store.items.insert(0, stored(8, document=document) if document else StoredSettings(8, "", 1, ""))
    clock.now_s += 60
    for each in (found, process(store)[0]):  # also for a process that starts now
        now = each.current()
        assert (now.version, now.good_version, name(now)) == (8, 7, "7")
        assert "Version 8 of the settings is broken" in now.problem
    store.items.insert(0, stored(9))
    clock.now_s += 60
    assert (name(found.current()), found.current().problem) == ("9", "")


def test_version_that_was_broken_in_place_stays_as_it_was_known() -> None:
    store = Versions(stored(7), stored(6))
    found, clock = process(store)
    found.current()
    store.items[0] = stored(7, document="{")
    clock.now_s += 60
    assert (name(found.current()), found.current().good_version) == ("7", 7)


def test_nothing_but_broken_items_is_no_settings() -> None:
    found = in_force([stored(2, document="{"), stored(1, document="{")])
    assert (found.version, found.settings) == (2, None)
    assert found.problem


def test_settings_stay_in_force_while_the_store_is_away_and_cost_one_read_in_five_seconds() -> None:
    store = Versions(stored(3))
    found, clock = process(store)
    found.current()
    store.away = True
    for _ in range(50):
        clock.now_s += 1
        assert name(found.current()) == "3"
    assert store.reads <= 11
    with pytest.raises(StoreUnavailable):
        found.read()


def test_one_slow_read_holds_up_one_thread() -> None:
    may_answer = threading.Event()

    class Slow(Versions):
        def newest(self, limit: int) -> list[StoredSettings]:
            if self.reads:
                may_answer.wait(10)
            return super().newest(limit)

    store = Slow(stored(1))
    found, clock = process(store)
    found.current()
    clock.now_s += 60
    first = threading.Thread(target=found.current)
    first.start()
    began = time.monotonic()
    while not found._reading.locked():
        assert time.monotonic() - began < 10
    assert name(found.current()) == "1"
    may_answer.set()
    first.join()


def test_differences_name_tables_and_changed_keys_only() -> None:
    before = OwnersSettings.model_validate({"models": [{"id": "a", "prompt_usd": "0.10"}, {"id": "b"}]})
    after = OwnersSettings.model_validate({"site": {"name": "X"}, "models": [{"id": "a", "prompt_usd": "0.20"}]})
    assert differences(before, after) == {
        "site": ('name = "Sluice"', 'name = "X"'),
        "models.a": ('prompt_usd = "0.10"', 'prompt_usd = "0.20"'),
        "models.b": ('id = "b"', "-"),
    }
    assert differences(after, after) == {}


def test_who_comes_during_the_first_read_waits_for_it() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(Versions):
        def newest(self, limit: int) -> list[StoredSettings]:
            reading.set()
            assert go_on.wait(10)
            return super().newest(limit)

    found, _ = process(Slow(stored(1)))
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(name(found.current()))) for _ in range(2)]
    threads[0].start()
    assert reading.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for each in threads:
        each.join(10)
    assert seen == ["1", "1"]
