"""An account that holds much: its deletion and its export go in pieces, and what it holds has an end."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks.bounds.__main__ import counted
from benchmarks.bounds.filler import Amounts, fill
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.sessions import MOST_SESSIONS
from sluice.domain.errors import StoreUnavailable
from sluice.domain.tokens import MOST_TOKENS
from sluice.http import spool
from sluice.services.accounts import erasure as rules
from sluice.wiring.accounts import erasure
from tests.integration.accounts.test_delete import delete, now_ms, traces
from tests.integration.accounts.world import PASSWORD, switch_on_throttles
from tests.integration.operations.town import Citizen, Town

ALL = ("accounts", "sessions", "tokens", "contents", "mails", "documents")
SOME = Amounts(chats=40, messages=40, responses=40, logged=80, sessions=5, tokens=20, mails=30, files=40, stores=5)


def filled(town: Town, **amounts: int) -> Citizen:
    person = town.newcomer()
    wanted = {name: 0 for name in Amounts.__dataclass_fields__} | amounts
    fill(town.store.prefix, person.account_id, Amounts(**wanted))
    return person


def later(*, rounds: int = 99) -> int:
    left = iter(range(rounds))
    return erasure().finish(now_ms() + rules.SECOND_LOOK_MS, lambda: next(left, None) is not None)


# --- deletion (FIELD F12a: it took 23 s)


def test_a_deletion_takes_as_long_for_much_as_for_little(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "SLICE", 100)
    spent = []
    for logged in (200, 800):
        person = filled(town, logged=logged, files=logged)
        with counted() as calls:
            assert delete(person) == 204
        spent.append(len(calls))
        assert person.ask().status_code == 401 and town.log_in(person.email).status_code == 401
        body = {"email": person.email, "password": "a quite different one"}
        assert town.world.client.post("/auth/register", json=body).status_code == 202
        assert len(traces_of(town, person)) == 2 * logged - 200 + 4  # and four counts
    assert spent[0] == spent[1] < 60
    assert later() == 2
    assert traces_of(town, person) == []


def traces_of(town: Town, person: Citizen) -> list[Any]:
    """Without the address, which has registered again."""
    return [
        item
        for table in ALL
        for item in town.everything(table)
        if item.get("pk") != "deletions" and person.account_id in json.dumps(item)
    ]


def test_a_large_deletion_lets_a_small_one_pass(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    monkeypatch.setattr(rules, "SLICE", 50)
    large, small = filled(town, logged=400), town.newcomer()
    assert delete(large) == 204 and delete(small) == 204
    assert later(rounds=2) == 1
    assert set(stores.account_store().deletions()) == {large.account_id}
    assert later(rounds=3) == 0  # its time is up
    assert later() == 1 and traces_of(town, large) == []


def test_a_deletion_killed_at_any_write_leaves_nothing_when_repeated(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SLICE", 30)
    person = town.newcomer()
    fill(town.store.prefix, person.account_id, SOME)
    real, left = dynamo.delete_all, iter((3, 1, 5, 2))

    def dies(table: str, keys: Any) -> None:
        calls = iter(range(next(left, 99)))
        real(table, (key for key in keys if next(calls, None) is not None))
        if next(calls, None) is None:
            raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(dynamo, "delete_all", dies)
        for _ in range(4):
            assert delete(person) == 503
    assert delete(person) == 204
    assert later() == 1 and traces_of(town, person) == []


def test_all_of_a_full_account_is_erased(town: Town) -> None:
    person = town.newcomer()
    fill(town.store.prefix, person.account_id, SOME)
    assert delete(person) == 204
    assert traces(town, person, ALL) == []


# --- export


def test_an_exports_memory_does_not_grow_with_the_account(town: Town) -> None:
    from sluice.wiring.accounts import account_export

    peaks, sizes = [], []
    for times in (1, 4):
        person = filled(town, responses=150 * times, logged=500 * times, files=300 * times, mails=150 * times)
        list(account_export().document(person.account_id, now_ms()))  # caches, connections
        tracemalloc.start()
        sizes.append(sum(map(len, account_export().document(person.account_id, now_ms()))))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert sizes[1] > 3.5 * sizes[0]
    assert peaks[1] < 1.3 * peaks[0] and peaks[1] < 16 * 2**20


def test_an_export_has_each_item_of_each_page_once(town: Town) -> None:
    person = filled(town, chats=150, responses=120, logged=600, files=250, stores=3, attached=600, mails=130, tokens=7)
    held = person.call("GET", "/account/export").json
    names = [one["id"] for one in held["contents"]]
    assert len(names) == len(set(names)) == 150 + 120 + 600 and not {"chats", "responses"} & set(names)
    assert len({one["file_id"] for one in held["files"]}) == len(held["files"]) == 250
    assert [len(store["files"]) for store in held["vector_stores"]].count(250) == 2
    assert (len(held["mails"]), len(held["tokens"])) == (131, 8)


def test_a_long_document_is_sent_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "READ_AHEAD_BYTES", 10)
    read: list[int] = []

    def document() -> Iterator[bytes]:
        for place in range(6):
            read.append(place)
            yield b"1234"

    pieces = spool.spooled(document())
    assert read == [0, 1, 2]
    assert b"".join(pieces) == b"1234" * 6


# --- what people make beside chats


def test_a_login_ends_the_oldest_session_of_an_account_with_the_most(town: Town) -> None:
    person = filled(town, sessions=MOST_SESSIONS + 3)
    answer = town.log_in(person.email)
    assert answer.status_code == 200
    held = person.call("GET", "/account/sessions").json["data"]
    assert len(held) == MOST_SESSIONS and held[0]["id"] == answer.json["session"]["id"]
    assert person.call("GET", "/account").status_code == 200  # the newer ones stay


def test_a_new_api_token_drops_the_oldest_ended_row_and_no_live_one(town: Town) -> None:
    person = filled(town, tokens=MOST_TOKENS + 5)
    before = person.call("GET", "/tokens").json["data"]
    issued = town.world.issue(person.session)
    after = person.call("GET", "/tokens").json["data"]
    assert len(after) == MOST_TOKENS and after[0]["id"] == issued["id"]
    assert {one["id"] for one in before} - {one["id"] for one in after} == {one["id"] for one in before[-7:]}
    assert person.ask().status_code == 200


def test_changes_of_the_password_without_end_are_mailed_and_noted_a_few_times(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = town.newcomer()
    switch_on_throttles(monkeypatch)
    old = PASSWORD
    for place in range(25):
        new = f"quite another one {place}"
        body = {"current_password": old, "new_password": new}
        assert person.call("POST", "/auth/change-password", body).status_code == 200
        old = new
    assert len([one for one in town.everything("mails") if one["kind"] == "password_changed"]) == 20
    assert len([one for one in town.everything("audit") if one["action"] == "password_changed"]) == 20


def test_changes_of_the_address_without_end_are_mailed_a_few_times(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    person = town.newcomer()
    switch_on_throttles(monkeypatch)
    for place in range(25):
        body = {"new_email": f"n{place}@example.org", "password": PASSWORD}
        assert person.call("POST", "/auth/change-email", body).status_code == 202
    assert len([one for one in town.everything("mails") if one["kind"] == "change_email"]) == 20


def test_chats_may_be_made_while_the_account_is_deleted_and_leave_nothing(town: Town) -> None:
    person = town.newcomer()
    with ThreadPoolExecutor(4) as threads:
        made = [threads.submit(person.call, "POST", "/chats", {}) for _ in range(12)]
        time.sleep(0.02)
        assert delete(person) == 204
        assert {one.result().status_code for one in made} <= {201, 401, 503}
    assert later() == 1 and traces_of(town, person) == []


def test_revoking_all_api_tokens_without_end_is_noted_a_few_times(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    person = town.newcomer()
    switch_on_throttles(monkeypatch)
    assert {person.call("POST", "/tokens/revoke-all").status_code for _ in range(25)} == {200}
    assert len([one for one in town.everything("audit") if one["action"] == "tokens_revoked"]) == 20
