"""Settlements that the store did not take are repeated, and one that never succeeds holds up no other."""

import threading
import time
from types import SimpleNamespace

import pytest

from sluice.services.gateway import settle_later
from sluice.services.gateway.settle_later import SettleLater
from tests.waiting import eventually


def never() -> bool:
    return False


def test_one_that_never_succeeds_holds_up_no_other_and_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(settle_later, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=time.sleep))
    later, given_up, settled = SettleLater(0.01, 600), threading.Event(), threading.Event()
    later.add(never, given_up.set)
    later.add(lambda: settled.set() or True, lambda: pytest.fail("given up though it succeeds"))  # type: ignore[func-returns-value]
    assert settled.wait(60) and not given_up.is_set()
    now_s = 600.0
    assert given_up.wait(60)


def test_a_fault_of_one_settlement_ends_neither_the_others_nor_the_thread() -> None:
    later, given_up, settled = SettleLater(0.01, 600), threading.Event(), threading.Event()

    def broken() -> bool:
        raise KeyError("a fault of the code")

    later.add(broken, given_up.set)
    later.add(lambda: settled.set() or True, never)  # type: ignore[func-returns-value]
    assert given_up.wait(60) and settled.wait(60)


def test_the_thread_ends_when_nothing_is_left_and_starts_again() -> None:
    later = SettleLater(0.01, 600)
    for _ in range(3):
        settled = threading.Event()
        later.add(lambda done=settled: done.set() or True, never)  # type: ignore[misc]
        assert settled.wait(60)
        eventually(lambda: not later._running)


def test_more_than_the_bound_are_left_to_the_sweeper_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle_later, "MOST", 2)
    later, given_up = SettleLater(30, 30), []
    for number in range(4):
        later.add(never, lambda which=number: given_up.append(which))  # type: ignore[misc]
    assert given_up == [2, 3]
