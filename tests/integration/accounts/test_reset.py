"""A password reset over HTTP on a real store: requested, mailed, redeemed once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.domain.accounts.account import Account
from tests.integration.accounts.world import PASSWORD, World, switch_on_throttles

NEW = "a whole new passphrase"


def forgot(world: World, email: object) -> Any:
    return world.client.post("/auth/forgot-password", json={"email": email})


def reset(world: World, code: object, password: object = NEW) -> Any:
    return world.client.post("/auth/reset-password", json={"token": code, "password": password})


def mailed_code(account: Account, purpose: str = "reset_password") -> str:
    """The code in the link of the account's newest mail; with `purpose`, as if the mail had that purpose."""
    from sluice.adapters.tokens.keys import mailed_code_key
    from sluice.domain.mails import mailed_codes
    from sluice.wiring import stores

    now = stores.account_store().get(account.account_id)
    assert now is not None
    return mailed_codes.make(mailed_code_key(), purpose, now.codes["reset_password"].mail_id, account.account_id)


def test_a_mailed_code_sets_a_new_password_and_ends_every_session(world: World) -> None:
    account = world.account()
    sessions = [world.login(account), world.login(account)]
    asked = forgot(world, account.email.upper())
    assert asked.status_code == 202
    answer = reset(world, mailed_code(account))
    assert (answer.status_code, answer.json) == (200, {"status": "password_changed"})
    assert [world.client.get("/account", headers=headers).status_code for headers in sessions] == [401, 401]
    old = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert old.status_code == 401
    assert world.login(account, NEW)


def test_a_request_gets_the_same_response_for_every_address(world: World) -> None:
    known, pending, suspended = world.account(), world.account(status="pending"), world.account(status="suspended")
    answers = {
        (answer.status_code, answer.text)
        for answer in (forgot(world, e) for e in (known.email, pending.email, suspended.email, "nobody@example.com"))
    }
    assert len(answers) == 1 and answers.pop()[0] == 202


def test_concurrent_uses_of_a_code_succeed_once(world: World) -> None:
    account = world.account()
    forgot(world, account.email)
    code = mailed_code(account)

    def go(place: int) -> int:
        client = world.app.test_client(use_cookies=False)
        body = {"token": code, "password": f"passphrase number {place}"}
        return int(client.post("/auth/reset-password", json=body).status_code)

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(go, range(6)))
    assert sorted(codes) == [200] + [400] * 5
    assert world.login(account, f"passphrase number {codes.index(200)}")
    again = reset(world, code)
    assert (again.status_code, again.json["code"]) == (400, "invalid_token")


def test_every_bad_code_gets_the_same_response(world: World) -> None:
    account, other = world.account(), world.account()
    forgot(world, account.email)
    older = mailed_code(account)
    forgot(world, account.email)
    newest = mailed_code(account)
    forgot(world, other.email)
    mac = mailed_code(other).partition(".")[2]
    bad = [
        "",
        "x",
        "x" * 5000,
        "é.é",
        older,
        newest[:-1],
        newest + "A",
        newest.partition(".")[0] + "." + mac,
        "mail_nothing." + "A" * 43,
    ]
    bad.append(mailed_code(account, "verify_email"))  # a code of ours for another purpose
    said = set()
    for code in bad:
        answer = reset(world, code)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_token"), code
        said.add(answer.json["detail"])
    assert len(said) == 1
    assert reset(world, newest).status_code == 200


def test_a_code_is_valid_for_thirty_minutes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.http.accounts import visitor as calls

    account = world.account()
    forgot(world, account.email)
    started_ms = calls.now_ms()
    monkeypatch.setattr(calls, "now_ms", lambda: started_ms + 30 * 60_000)
    assert reset(world, mailed_code(account)).status_code == 400
    monkeypatch.setattr(calls, "now_ms", lambda: started_ms + 29 * 60_000)
    assert reset(world, mailed_code(account)).status_code == 200


def test_a_weak_password_is_422_and_the_code_stays_valid(world: World) -> None:
    account = world.account("ann.lee@example.com")
    forgot(world, account.email)
    code = mailed_code(account)
    for weak in ("short", "password1234", "hello ann.lee hello", None):
        answer = reset(world, code, weak)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error")
        assert [problem["field"] for problem in answer.json["errors"]] == ["password"]
    assert reset(world, code).status_code == 200


def test_changing_the_password_invalidates_older_reset_codes(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    forgot(world, account.email)
    code = mailed_code(account)
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert world.client.post("/auth/change-password", json=body, headers=headers).status_code == 200
    assert reset(world, code, "yet another passphrase").status_code == 400
    assert world.login(account, NEW)


def test_an_invalid_address_is_422(world: World) -> None:
    for email in ("no address", "", 7, None):
        answer = forgot(world, email)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error")


@pytest.fixture
def throttled(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    switch_on_throttles(monkeypatch)
    return world


def mails_of(account: Account) -> int:
    from sluice import settings
    from sluice.adapters.aws import dynamo

    items = dynamo.client().scan(TableName=settings.common().table_prefix + "mails")["Items"]
    wanted = {"account_id": {"S": account.account_id}, "kind": {"S": "reset_password"}}
    return sum(all(item.get(name) == value for name, value in wanted.items()) for item in items)


def test_a_mailbox_is_not_flooded_and_the_response_does_not_show_it(throttled: World) -> None:
    account = throttled.account()
    answers = {
        (forgot(throttled, account.email).status_code, forgot(throttled, "no@example.com").text) for _ in range(8)
    }
    assert len(answers) == 1 and answers.pop()[0] == 202
    assert mails_of(account) == 5


def test_a_client_that_requests_many_mails_is_429(throttled: World) -> None:
    answers = [forgot(throttled, f"nobody{place}@example.com") for place in range(101)]
    assert {answer.status_code for answer in answers[:100]} == {202}
    assert (answers[100].status_code, answers[100].json["code"]) == (429, "too_many_attempts")
    assert int(answers[100].headers["Retry-After"]) >= 1


def test_trying_codes_is_throttled(throttled: World) -> None:
    codes = [reset(throttled, f"mail_{place}." + "A" * 43).status_code for place in range(31)]
    assert codes == [400] * 30 + [429]
