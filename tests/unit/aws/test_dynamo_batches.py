"""Deleting and reading in batches: what is unprocessed is sent again; a store that does nothing is unavailable."""

from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.domain.errors import StoreUnavailable


class Slow:
    """Processes `at_once` deletions a call."""

    def __init__(self, at_once: int) -> None:
        self.at_once, self.gone, self.sizes = at_once, [], []  # type: ignore[var-annotated]

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:
        ((table, wanted),) = RequestItems.items()
        self.sizes.append(len(wanted))
        self.gone += [one["DeleteRequest"]["Key"]["id"]["S"] for one in wanted[: self.at_once]]
        left = wanted[self.at_once :]
        return {"UnprocessedItems": {table: left} if left else {}}


def delete(monkeypatch: pytest.MonkeyPatch, store: Slow, count: int) -> None:
    monkeypatch.setattr(dynamo, "client", lambda: store)
    dynamo.delete_all("t", ({"id": str(place)} for place in range(count)), sleep=lambda seconds: None)


@pytest.mark.parametrize("at_once", [1, 7, 25])
def test_every_item_is_deleted_however_few_the_store_processes_a_call(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    store = Slow(at_once)
    if at_once == 1:
        delete(monkeypatch, store, 5)
        assert sorted(store.gone) == list("01234")
        return
    delete(monkeypatch, store, 60)
    assert len(store.gone) == len(set(store.gone)) == 60 and max(store.sizes) == 25


def test_without_items_no_call_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Slow(1)
    delete(monkeypatch, store, 0)
    assert store.sizes == []


def test_a_store_that_processes_nothing_is_unavailable_after_a_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Slow(0)
    with pytest.raises(StoreUnavailable):
        delete(monkeypatch, store, 3)
    assert len(store.sizes) == dynamo.CONFLICT_ATTEMPTS


class Reading:
    """Answers with `at_once` items a call, and leaves the rest to be asked for again."""

    def __init__(self, at_once: int, there: set[str]) -> None:
        self.at_once, self.there, self.sizes = at_once, there, []  # type: ignore[var-annotated]

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        ((table, request),) = RequestItems.items()
        wanted = request["Keys"]
        self.sizes.append(len(wanted))
        assert request["ConsistentRead"]
        found = [key for key in wanted[: self.at_once] if key["id"]["S"] in self.there]
        left = wanted[self.at_once :]
        return {"Responses": {table: found}, "UnprocessedKeys": {table: {"Keys": left}} if left else {}}


def got(monkeypatch: pytest.MonkeyPatch, store: Reading, count: int) -> list[str]:
    monkeypatch.setattr(dynamo, "client", lambda: store)
    keys = ({"id": str(place)} for place in range(count))
    return [one["id"] for one in dynamo.get_all("t", keys, sleep=lambda seconds: None)]


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_every_item_that_exists_is_read_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    store = Reading(at_once, {str(place) for place in range(0, 250, 2)})
    found = got(monkeypatch, store, 250)
    assert sorted(found, key=int) == [str(place) for place in range(0, 250, 2)] and max(store.sizes) == 100


def test_without_keys_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Reading(1, set())
    assert got(monkeypatch, store, 0) == [] and store.sizes == []


def test_a_store_that_reads_nothing_is_unavailable_after_a_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Reading(0, set())
    with pytest.raises(StoreUnavailable):
        got(monkeypatch, store, 3)
    assert len(store.sizes) == dynamo.CONFLICT_ATTEMPTS
