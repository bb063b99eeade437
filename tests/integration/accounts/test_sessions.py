"""Authentication: session tokens, cookies, the cross-site check, the list of sessions. On a real store."""

import time

import pytest

from sluice.domain import errors
from tests.integration.accounts.world import PASSWORD, World

OWN_ORIGIN = "http://127.0.0.1:8080"


def cookie_of(headers: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "sluice_session=" + headers["Authorization"].removeprefix("Bearer ")}


def test_a_missing_or_malformed_session_token_is_401(world: World) -> None:
    for authorization in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer ses_0000000000000000." + "A" * 43,
        "Bearer ses_1.x",
        "Bearer " + "x" * 5000,
        "Bearer sés",
    ):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = world.client.get("/account", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated"), authorization
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_id_with_a_wrong_secret_is_401(world: World) -> None:
    headers = world.login(world.account())
    session_id, _, secret = headers["Authorization"].removeprefix("Bearer ").partition(".")
    forged = f"{session_id}.{secret[:-1]}{'A' if secret[-1] != 'A' else 'E'}"
    assert world.client.get("/account", headers={"Authorization": f"Bearer {forged}"}).status_code == 401


def test_an_api_token_is_not_accepted_as_a_session_token(world: World) -> None:
    headers = world.login(world.account())
    api_token = world.issue(headers)["token"]
    answer = world.client.get("/account", headers={"Authorization": f"Bearer {api_token}"})
    assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated")


def test_an_expired_session_is_refused_before_its_item_is_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.http import auth

    headers, now_ms = world.login(world.account()), time.time_ns() // 1_000_000
    monkeypatch.setattr(auth, "now_ms", lambda: now_ms + 14 * 24 * 3_600_000 - 60_000)
    assert world.client.get("/tokens", headers=headers).status_code == 200
    monkeypatch.setattr(auth, "now_ms", lambda: now_ms + 14 * 24 * 3_600_000 + 60_000)
    assert world.client.get("/tokens", headers=headers).status_code == 401


def test_a_suspended_accounts_session_is_403(world: World) -> None:
    from sluice import settings
    from sluice.adapters.aws import dynamo

    account = world.account()
    headers = world.login(account)
    dynamo.client().update_item(
        TableName=settings.common().table_prefix + "accounts",
        Key={"pk": {"S": account.account_id}},
        UpdateExpression="SET #s = :s",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": "suspended"}},
    )
    answer = world.client.get("/account", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "account_suspended")


def test_reading_with_the_cookie_needs_no_origin(world: World) -> None:
    cookie = cookie_of(world.login(world.account()))
    assert world.client.get("/account/sessions", headers=cookie).status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": OWN_ORIGIN},
        {"Origin": "http://localhost"},  # the address this request is made to
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": OWN_ORIGIN},
    ],
)
def test_requests_of_our_own_pages_may_use_the_cookie(world: World, said: dict[str, str]) -> None:
    cookie = cookie_of(world.login(world.account()))
    assert world.client.post("/auth/logout", headers=cookie | said).status_code == 204


FOREIGN: list[dict[str, str]] = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://127.0.0.1:8080"},
    {"Origin": "http://127.0.0.1:8081"},
    {"Origin": "http://127.0.0.1:8080.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": OWN_ORIGIN},
]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/auth/logout"), ("POST", "/tokens/revoke-all"), ("DELETE", "/account/sessions/x")]
)
def test_another_site_may_not_use_the_cookie(world: World, method: str, path: str) -> None:
    cookie = cookie_of(world.login(world.account()))
    for said in FOREIGN:
        answer = world.client.open(path, method=method, headers=cookie | said)
        assert (answer.status_code, answer.json["code"]) == (403, "csrf"), said
    assert world.client.get("/account/sessions", headers=cookie).status_code == 200


def test_an_invalid_cookie_is_401_before_its_origin_is_checked(world: World) -> None:
    answer = world.client.post("/auth/logout", headers={"Cookie": "sluice_session=gone"})
    assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated")


def test_a_bearer_needs_no_origin_even_beside_a_cookie(world: World) -> None:
    headers = world.login(world.account())
    said = headers | cookie_of(headers) | {"Origin": "https://evil.example"}
    assert world.client.post("/auth/logout", headers=said).status_code == 204


def test_sessions_are_listed_newest_first_and_each_can_be_ended(world: World) -> None:
    account = world.account()
    first, second = world.login(account), world.login(account)
    listed = world.client.get("/account/sessions", headers=first).json["data"]
    assert [entry["current"] for entry in listed] == [False, True]
    assert set(listed[0]) == {"id", "created_at", "expires_at", "user_agent", "current"}
    assert world.client.delete(f"/account/sessions/{listed[0]['id']}", headers=first).status_code == 204
    assert world.client.get("/account", headers=second).status_code == 401
    again = world.client.delete(f"/account/sessions/{listed[0]['id']}", headers=first)
    assert (again.status_code, again.json["code"]) == (404, "not_found")


def test_an_expired_session_is_not_listed_and_a_long_name_of_a_browser_is_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.accounts import app

    account = world.account()
    headers, now_ms = world.login(account), time.time_ns() // 1_000_000
    world.client.post(
        "/auth/login", json={"email": account.email, "password": PASSWORD}, headers={"User-Agent": "x" * 300}
    )
    listed = world.client.get("/account/sessions", headers=headers).json["data"]
    assert [entry["user_agent"] for entry in listed if entry["user_agent"].startswith("x")] == ["x" * 200]
    monkeypatch.setattr(app, "now_ms", lambda: now_ms + 15 * 24 * 3_600_000)
    assert world.client.get("/account/sessions", headers=headers).json["data"] == []


def test_a_session_of_another_account_is_404_and_stays_valid(world: World) -> None:
    mine, theirs = world.login(world.account()), world.login(world.account())
    their_id = world.client.get("/account/sessions", headers=theirs).json["data"][0]["id"]
    assert world.client.delete(f"/account/sessions/{their_id}", headers=mine).status_code == 404
    assert world.client.get("/account", headers=theirs).status_code == 200


def test_only_an_admin_passes_an_admin_only_check(world: World) -> None:
    from sluice.http.auth import require_session

    user, admin = world.login(world.account()), world.login(world.account(role="admin"))
    with world.app.test_request_context(headers=user), pytest.raises(errors.Forbidden) as refused:
        require_session(admin=True)
    assert type(refused.value) is errors.Forbidden
    with world.app.test_request_context(headers=admin):
        assert require_session(admin=True).is_admin
