"""`DELETE /account` revokes API tokens first, erases personal data, keeps amounts, and can be resumed."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.services.accounts.erasure import SECOND_LOOK_MS
from sluice.wiring.accounts import erasure
from tests.integration.accounts.world import PASSWORD, switch_on_throttles
from tests.integration.operations.town import Citizen, Town, long_answer

PERSONAL = ("accounts", "sessions", "tokens", "contents", "mails")


def delete(person: Citizen, password: str = PASSWORD) -> int:
    return person.call("DELETE", "/account", {"password": password}).status_code


def now_ms() -> int:
    from sluice.http import auth

    return auth.now_ms()


def busy_life(town: Town) -> Citizen:
    """An account with data in every table."""
    person = town.newcomer()
    assert person.ask().status_code == 200
    assert person.call("POST", "/chats", {"title": "Plans"}).status_code == 201
    assert person.call("POST", "/auth/change-email", {"new_email": "n@example.org", "password": PASSWORD}).status_code
    for table in PERSONAL:
        assert traces(town, person, (table,)), table
    return person


def traces(town: Town, person: Citizen, tables: tuple[str, ...] = PERSONAL) -> list[dict[str, Any]]:
    """All items that name the account, except in the list of deletions."""
    found = [item for table in tables for item in town.everything(table) if item.get("pk") != "deletions"]
    return [item for item in found if any(name in json.dumps(item) for name in (person.account_id, person.email))]


def test_personal_data_is_erased_and_amounts_stay(town: Town) -> None:
    person, other = busy_life(town), town.newcomer()
    answer = person.call("DELETE", "/account", {"password": PASSWORD})
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert traces(town, person) == []
    (record,) = town.everything("ledger")
    assert (record["account_id"], record["prompt_tokens"]) == (person.account_id, 10)
    (grant,) = [item for item in town.everything("grants") if item["account_id"] == person.account_id]
    assert (grant["live"], grant["standing"], grant["store_content"]) == ({}, "suspended", False)
    left = [item for table in ("ledger", "rollups", "grants", "audit") for item in town.everything(table)]
    for word in (person.email, "Capital of France", "Ann", "127.0.0.1"):
        assert word not in json.dumps([item for item in left if person.account_id in json.dumps(item)])
    assert other.ask().status_code == 200 and other.call("GET", "/account").status_code == 200


def test_sessions_and_api_tokens_are_refused_at_once(town: Town) -> None:
    person = town.newcomer()
    elsewhere = town.log_in(person.email).json["session"]["token"]
    assert delete(person) == 204
    refused = person.ask()
    assert (refused.status_code, refused.json["error"]["code"]) == (401, "invalid_api_key")
    assert person.call("GET", "/account").status_code == 401 and delete(person) == 401
    headers = {"Authorization": f"Bearer {elsewhere}"}
    assert person.client.get("/account", headers=headers).status_code == 401
    answer = town.log_in(person.email)
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")


def test_the_address_may_register_again_as_a_new_account(town: Town) -> None:
    person = town.newcomer()
    assert delete(person) == 204
    body = {"email": person.email, "password": "a quite different one"}
    assert town.world.client.post("/auth/register", json=body).status_code == 202
    assert town.mails_to(person.email) == ["verify_email"]
    (account,) = [item for item in town.everything("accounts") if item.get("email") == person.email]
    assert account["account_id"] != person.account_id


@pytest.mark.parametrize("body", [{}, {"password": 7}, {"password": "x" * 2000}])
def test_without_a_password_a_deletion_is_422_and_changes_nothing(town: Town, body: dict[str, Any]) -> None:
    person = town.newcomer()
    answer = person.call("DELETE", "/account", body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "password")
    assert person.ask().status_code == 200


def test_with_a_wrong_password_a_deletion_is_401_and_changes_nothing(town: Town) -> None:
    person = town.newcomer()
    answer = person.call("DELETE", "/account", {"password": "wrong wrong wrong"})
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")
    assert person.ask().status_code == 200 and person.call("GET", "/account").status_code == 200


def test_guessing_the_password_is_throttled(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    person = town.newcomer()
    switch_on_throttles(monkeypatch)
    statuses = [delete(person, "wrong wrong wrong") for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_another_sites_request_with_the_cookie_is_403(town: Town) -> None:
    person = town.newcomer()
    cookie = {"Cookie": "sluice_session=" + person.session["Authorization"].removeprefix("Bearer ")}
    answer = person.client.delete("/account", json={"password": PASSWORD}, headers=cookie)
    assert (answer.status_code, answer.json["code"]) == (403, "csrf")
    assert person.call("GET", "/account").status_code == 200


STEPS = [
    ("grant_store", "close"),
    ("account_store", "begin_deletion"),
    ("audit_log", "put"),
    ("content_store", "erase_account"),
    ("token_store", "erase_account"),
    ("mail_store", "erase_account"),
    ("audit_log", "forget_client"),
    ("session_store", "erase_account"),
    ("account_store", "end_deletion"),
]


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch, which: str, method: str) -> Iterator[None]:
    """The store's method fails."""
    from sluice.wiring import stores

    def fails(*arguments: object, **named: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(getattr(stores, which)(), method, fails)
        yield


@pytest.mark.parametrize(("which", "method"), STEPS)
def test_an_interrupted_deletion_is_completed_by_a_second_request(
    town: Town, monkeypatch: pytest.MonkeyPatch, which: str, method: str
) -> None:
    person = busy_life(town)
    with away(monkeypatch, which, method):
        answer = person.call("DELETE", "/account", {"password": PASSWORD})
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    if (which, method) != STEPS[0]:
        assert person.ask().status_code == 401  # the API tokens are revoked in every case
    if (which, method) not in STEPS[:2]:
        assert town.log_in(person.email).status_code == 401 and person.call("GET", "/account").status_code == 401
    assert delete(person) == 204
    assert traces(town, person) == []


@pytest.mark.parametrize(("which", "method"), STEPS[2:])
def test_an_interrupted_deletion_is_completed_by_the_sweeper(
    town: Town, monkeypatch: pytest.MonkeyPatch, which: str, method: str
) -> None:
    from sluice.wiring import stores

    person = busy_life(town)
    with away(monkeypatch, which, method):
        assert delete(person) == 503
        assert erasure().finish(now_ms() + SECOND_LOOK_MS) in (0, 1)  # no error while the store is partly unavailable
    assert erasure().finish(now_ms() + SECOND_LOOK_MS) <= 1
    assert traces(town, person) == [] and stores.account_store().deletions() == {}
    assert town.log_in(person.email).status_code == 401


def test_the_sweepers_handler_finishes_deletions(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.sweeper import app as sweeper
    from sluice.wiring import stores

    person = town.newcomer()
    assert delete(person) == 204
    assert sweeper.handler({}, None)["erased"] == 0 and stores.account_store().deletions()  # too early
    later_ms = now_ms() + SECOND_LOOK_MS
    monkeypatch.setattr(sweeper, "_now_ms", lambda: later_ms)
    assert sweeper.handler({}, None)["erased"] == 1 and stores.account_store().deletions() == {}


def test_two_concurrent_deletions_are_one(town: Town) -> None:
    person = busy_life(town)
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda _: delete(person), range(4)))
    assert 204 in statuses and set(statuses) <= {204, 401}
    assert traces(town, person) == []


def test_a_running_stream_of_a_deleted_account_ends_at_its_next_checkpoint(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import gateway as wired

    person = town.newcomer()
    town.upstream.steps, clock = long_answer(lambda: delete(person), 4)  # type: ignore[assignment]
    gateway = replace(wired.gateway(), clock=clock)
    monkeypatch.setattr(wired, "gateway", lambda: gateway)
    answer = person.ask(stream=True).text
    assert '"code": "invalid_api_key"' in answer or '"code":"invalid_api_key"' in answer
    assert "[DONE]" not in answer and '"content":"a"' in answer and '"content":"c"' not in answer
    (record,) = town.everything("ledger")
    assert (record["status"], record["completion_tokens"]) == (401, 2)
    assert erasure().finish(now_ms() + SECOND_LOOK_MS) == 1
    assert traces(town, person) == []


def test_content_stored_after_the_deletion_is_erased_by_the_sweeper(town: Town) -> None:
    person = town.newcomer()
    town.upstream.steps = long_answer(lambda: delete(person), 0)[0]  # type: ignore[assignment]
    assert person.ask().status_code == 200  # it ends before its first checkpoint, and is logged
    assert traces(town, person) != []
    assert erasure().finish(now_ms() + SECOND_LOOK_MS) == 1
    assert traces(town, person) == []


def test_a_deletion_is_not_over_while_a_request_runs(town: Town) -> None:
    person = town.newcomer()
    finished: list[int] = []

    def meanwhile() -> None:
        assert delete(person) == 204
        finished.append(erasure().finish(now_ms() + SECOND_LOOK_MS))

    town.upstream.steps = long_answer(meanwhile, 0)[0]  # type: ignore[assignment]
    person.ask()
    assert finished == [0]
    assert erasure().finish(now_ms() + SECOND_LOOK_MS) == 1 and traces(town, person) == []


def test_an_account_being_deleted_gets_no_password_reset_mail(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    person = town.newcomer()

    def away(*arguments: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.account_store(), "end_deletion", away)
        assert delete(person) == 503
    answer = town.world.client.post("/auth/forgot-password", json={"email": person.email})
    assert answer.status_code == 202 and town.mails_to(person.email) == []
