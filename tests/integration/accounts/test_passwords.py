"""Changing and resetting passwords over HTTP, on a real store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.accounts.world import PASSWORD, World

NEW = "a whole new passphrase"


def change(world: World, headers: dict[str, str], current: object = PASSWORD, new: object = NEW):  # type: ignore[no-untyped-def]
    body = {"current_password": current, "new_password": new}
    return world.client.post("/auth/change-password", json=body, headers=headers)


def test_changing_the_password_ends_every_other_session_and_keeps_this_one(world: World) -> None:
    account = world.account()
    mine, other, third = world.login(account), world.login(account), world.login(account)
    answer = change(world, mine)
    assert (answer.status_code, answer.json) == (200, {"status": "password_changed"})
    assert world.client.get("/account", headers=mine).status_code == 200
    assert [world.client.get("/account", headers=h).status_code for h in (other, third)] == [401, 401]
    listed = world.client.get("/account/sessions", headers=mine).json["data"]
    assert [entry["current"] for entry in listed] == [True]
    old = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert old.status_code == 401
    assert world.login(account, NEW)


def test_changing_the_password_twice_keeps_the_session_both_times(world: World) -> None:
    account = world.account()
    mine = world.login(account)
    assert change(world, mine).status_code == 200
    assert change(world, mine, NEW, "yet another passphrase").status_code == 200
    assert world.client.get("/account", headers=mine).status_code == 200


def test_of_two_concurrent_changes_one_wins_and_the_others_session_ends(world: World) -> None:
    account = world.account()
    sessions = [world.login(account), world.login(account)]
    passwords = ["first new passphrase", "second new passphrase"]

    def go(place: int) -> int:
        client = world.app.test_client(use_cookies=False)
        body = {"current_password": PASSWORD, "new_password": passwords[place]}
        return int(client.post("/auth/change-password", json=body, headers=sessions[place]).status_code)

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(go, range(2)))
    assert codes.count(200) == 1 and codes[1 - codes.index(200)] in (401, 409)
    winner = codes.index(200)
    alive = [world.client.get("/account", headers=headers).status_code for headers in sessions]
    assert alive[winner] == 200 and alive[1 - winner] == 401
    assert world.login(account, passwords[winner])


def test_a_session_that_ended_during_its_own_change_stays_ended(world: World) -> None:
    from sluice.domain.errors import Conflict
    from sluice.wiring import stores

    account = world.account()
    headers = world.login(account)
    session_id = headers["Authorization"].removeprefix("Bearer ").partition(".")[0]
    world.client.post("/auth/logout", headers=headers)
    with pytest.raises(Conflict):
        stores.session_store().change_password(account, "hash", session_id)
    assert world.login(account)


def test_the_wrong_current_password_changes_nothing(world: World) -> None:
    account = world.account()
    answer = change(world, world.login(account), current="wrong wrong wrong")
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")
    assert world.login(account)


def test_a_weak_new_password_is_422_and_changes_nothing(world: World) -> None:
    account = world.account("ann.lee@example.com")
    headers = world.login(account)
    weak = ["short", "x" * 257, "x" * 2000, "password1234", "passwordpassword", "my name is ann.lee, hello", 12, None]
    for new in weak:
        answer = change(world, headers, new=new)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error"), new
        assert [problem["field"] for problem in answer.json["errors"]] == ["new_password"]
    assert world.login(account)


def test_a_password_change_needs_a_session(world: World) -> None:
    assert change(world, {}).status_code == 401
