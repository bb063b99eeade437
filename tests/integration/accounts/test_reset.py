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


# --- the API tokens of an account whose password is reset


def live(account: Account) -> set[str]:
    from sluice.wiring import stores

    return set(stores.grant_store().live(account.account_id))


def listed(world: World, account: Account) -> list[tuple[str, bool]]:
    headers = world.login(account, NEW)
    rows = world.client.get("/tokens", headers=headers).json["data"]  # type: ignore[index]
    return [(row["status"], row["revoked_at"] is not None) for row in rows]


def test_a_reset_revokes_every_api_token(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    for place in range(25):
        world.issue(headers, name=f"n{place}")
    forgot(world, account.email)
    assert reset(world, mailed_code(account)).status_code == 200
    assert live(account) == set()
    assert listed(world, account) == [("revoked", True)] * 25
    world.issue(world.login(account, NEW))  # and the owner can make new ones


def test_a_reset_that_keeps_tokens_revokes_none(world: World) -> None:
    account = world.account()
    issued = world.issue(world.login(account))
    forgot(world, account.email)
    body = {"token": mailed_code(account), "password": NEW, "keep_tokens": True}
    assert world.client.post("/auth/reset-password", json=body).status_code == 200
    assert live(account) == {issued["id"]} and listed(world, account) == [("active", False)]


@pytest.mark.parametrize("wrong", [None, "true", 1, []])
def test_a_wrong_keep_tokens_is_422_and_the_code_stays_valid(world: World, wrong: object) -> None:
    account = world.account()
    forgot(world, account.email)
    body = {"token": mailed_code(account), "password": NEW, "keep_tokens": wrong}
    answer: Any = world.client.post("/auth/reset-password", json=body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "keep_tokens")
    assert reset(world, mailed_code(account)).status_code == 200


def test_a_refused_reset_revokes_nothing(world: World) -> None:
    account = world.account()
    issued = world.issue(world.login(account))
    forgot(world, account.email)
    older = mailed_code(account)
    forgot(world, account.email)
    assert reset(world, older).status_code == 400 and reset(world, mailed_code(account), "short").status_code == 422
    assert live(account) == {issued["id"]}


@pytest.mark.parametrize("keep_tokens", [False, True])
def test_a_session_that_a_reset_ends_issues_no_api_token_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch, keep_tokens: bool
) -> None:
    """The stranger's request is authenticated before the reset, and reaches the grant after it."""
    from sluice.wiring import stores

    account = world.account()
    headers = world.login(account)
    forgot(world, account.email)
    code, real = mailed_code(account), stores.grant_store().add_live
    body = {"token": code, "password": NEW, "keep_tokens": keep_tokens}

    def late(*arguments: Any, **named: Any) -> None:
        client = world.app.test_client(use_cookies=False)
        assert client.post("/auth/reset-password", json=body).status_code == 200
        real(*arguments, **named)

    with monkeypatch.context() as slow:
        slow.setattr(stores.grant_store(), "add_live", late)
        answer: Any = world.client.post("/tokens", json={"name": "x"}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated")
    assert live(account) == set() and listed(world, account) == []


def test_tokens_issued_during_a_reset_are_refused_or_revoked(world: World) -> None:
    for _ in range(5):
        account = world.account()
        headers = world.login(account)
        forgot(world, account.email)
        code = mailed_code(account)

        def issue(_: int, headers: Any = headers) -> int:
            client = world.app.test_client(use_cookies=False)
            return client.post("/tokens", json={"name": "x"}, headers=headers).status_code

        with ThreadPoolExecutor(5) as pool:
            issued = [pool.submit(issue, place) for place in range(4)]
            assert pool.submit(reset, world, code).result().status_code == 200
        assert {one.result() for one in issued} <= {201, 401}
        assert live(account) == set()


def test_a_change_of_address_asked_by_a_session_that_a_reset_ends_is_not_mailed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    account = world.account()
    headers = world.login(account)
    forgot(world, account.email)
    code, real = mailed_code(account), stores.account_store().put_code

    def late(*arguments: Any, **named: Any) -> None:
        assert reset(world, code).status_code == 200
        real(*arguments, **named)

    with monkeypatch.context() as slow:
        slow.setattr(stores.account_store(), "put_code", late)
        body = {"new_email": "stranger@example.org", "password": PASSWORD}
        client = world.app.test_client(use_cookies=False)
        assert client.post("/auth/change-email", json=body, headers=headers).status_code == 202
    now = stores.account_store().get(account.account_id)
    assert now is not None and now.codes == {}


def test_revoked_tokens_without_their_time_are_still_shown_as_revoked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies, or the store fails, right after the write that decides."""
    from sluice.domain.errors import StoreUnavailable
    from sluice.wiring import stores

    account = world.account()
    world.issue(world.login(account))
    forgot(world, account.email)

    def away(*_: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.token_store(), "mark_revoked", away)
        assert reset(world, mailed_code(account)).status_code == 200
    assert live(account) == set() and listed(world, account) == [("revoked", False)]


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
