"""Login and logout over HTTP, on a real store."""

import pytest

from tests.integration.accounts.world import PASSWORD, World

ORIGIN = {"Origin": "http://127.0.0.1:8080"}


def test_login_returns_the_user_a_session_and_a_cookie(world: World) -> None:
    account = world.account("Ann@Example.com")
    answer = world.client.post("/auth/login", json={"email": "ann@EXAMPLE.com", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json["user"] == {
        "id": account.account_id,
        "email": "Ann@example.com",
        "name": "Ann",
        "role": "user",
        "created_at": answer.json["user"]["created_at"],
    }
    assert set(answer.json["session"]) == {"id", "token", "expires_at"}
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("sluice_session=" + answer.json["session"]["token"])
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Secure" not in cookie


def test_on_https_the_cookie_is_secure_and_bound_to_the_host(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice import settings

    account = world.account()
    monkeypatch.setenv("SLUICE_BASE_URL", "https://sluice.example")
    settings.common.cache_clear()
    answer = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-sluice_session=ses_") and "Path=/" in cookie and "Domain" not in cookie
    assert "Secure" in cookie and "HttpOnly" in cookie
    session = answer.json["session"]["token"]
    # A cookie that a neighbouring host or an attacker on plain HTTP can plant is not a session.
    for name, status in (("__Host-sluice_session", 200), ("sluice_session", 401)):
        headers = {"Cookie": f"{name}={session}"}
        assert world.client.get("/account", headers=headers).status_code == status


@pytest.mark.parametrize("status", ["active", "pending", "suspended"])
def test_a_wrong_password_gets_the_same_response_in_every_account_state(world: World, status: str) -> None:
    account = world.account(status=status)
    known = world.client.post("/auth/login", json={"email": account.email, "password": "wrong wrong wrong"})
    unknown = world.client.post("/auth/login", json={"email": "nobody@example.com", "password": "wrong wrong wrong"})
    assert (known.status_code, known.json["code"]) == (401, "invalid_credentials")
    varying = {"request_id"}
    assert {k: v for k, v in known.json.items() if k not in varying} == {
        k: v for k, v in unknown.json.items() if k not in varying
    }


@pytest.mark.product_hashes
def test_an_unknown_address_costs_one_hash_as_a_known_one_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import peers

    account, hashes = world.account(), []
    matches = peers.password_hashes()._matches  # type: ignore[attr-defined]
    monkeypatch.setattr(
        peers.password_hashes(),
        "_matches",
        lambda against, password: hashes.append(against) or matches(against, password),
    )
    for email in (account.email, "nobody@example.com"):
        world.client.post("/auth/login", json={"email": email, "password": "wrong wrong wrong"})
    assert len(hashes) == 2
    assert all(against.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for against in hashes)


def test_only_the_right_password_gets_the_error_of_an_unverified_address(world: World) -> None:
    account = world.account(status="pending")
    answer = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert (answer.status_code, answer.json["code"]) == (403, "email_not_verified")


def test_only_the_right_password_gets_the_error_of_a_suspended_account(world: World) -> None:
    account = world.account(status="suspended")
    answer = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert (answer.status_code, answer.json["code"]) == (403, "account_suspended")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email", "password"}),
        ({"email": "ann@example.com"}, {"password"}),
        ({"email": 1, "password": PASSWORD}, {"email"}),
        ({"email": "ann@example.com", "password": None}, {"password"}),
        ({"email": "no address", "password": PASSWORD}, {"email"}),
    ],
)
def test_a_login_body_of_the_wrong_shape_is_refused_and_the_fields_are_named(
    world: World, body: object, fields: set[str]
) -> None:
    answer = world.client.post("/auth/login", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")
    assert {problem["field"] for problem in answer.json["errors"]} == fields


def test_malformed_json_is_400(world: World) -> None:
    answer = world.client.post("/auth/login", data="{", content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_json")


def test_another_media_type_is_415(world: World) -> None:
    answer = world.client.post("/auth/login", data="email=a", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_a_body_over_1_mib_is_413(world: World) -> None:
    answer = world.client.post("/auth/login", data=b"x" * (1024 * 1024 + 1), content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "request_too_large")


def test_get_is_405(world: World) -> None:
    answer = world.client.get("/auth/login")
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")


def test_the_store_holds_neither_the_session_secret_nor_the_password(world: World) -> None:
    from sluice import settings
    from sluice.adapters.aws import dynamo

    account = world.account()
    secret = world.login(account)["Authorization"].rpartition(".")[2]
    for table in ("sessions", "accounts"):
        items = dynamo.client().scan(TableName=settings.common().table_prefix + table)["Items"]
        assert items and secret not in str(items) and PASSWORD not in str(items)


def test_logout_ends_the_session_and_clears_the_cookie(world: World) -> None:
    headers = world.login(world.account())
    answer = world.client.post("/auth/logout", headers=headers)
    assert answer.status_code == 204
    assert "sluice_session=;" in answer.headers["Set-Cookie"] and "Max-Age=0" in answer.headers["Set-Cookie"]
    again = world.client.get("/account/sessions", headers=headers)
    assert (again.status_code, again.json["code"]) == (401, "not_authenticated")
