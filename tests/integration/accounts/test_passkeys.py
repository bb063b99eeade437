"""Passkeys over HTTP with a passkey in software; a browser's are in tests/browser/test_two_step.py."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.domain.accounts.account import Account
from tests.fakes.authenticator import SoftPasskey
from tests.integration.accounts.test_factors import bearer, second_step
from tests.integration.accounts.world import PASSWORD, World

SITE, RP_ID = "http://localhost:8080", "localhost"  # the base URL is a loopback number, which passkeys cannot have
OPTIONS, PASSKEYS = "/account/factors/passkeys/options", "/account/factors/passkeys"


def options(world: World, headers: dict[str, str]) -> dict[str, Any]:
    answer = world.client.post(OPTIONS, headers=headers)
    assert answer.status_code == 200, answer.json
    return dict(answer.json["options"])


def add(world: World, headers: dict[str, str], passkey: SoftPasskey, **more: Any) -> Any:
    body = {"credential": passkey.create(options(world, headers)), **more}
    return world.client.post(PASSKEYS, json=body, headers=headers)


def with_passkey(world: World, account: Account) -> SoftPasskey:
    passkey = SoftPasskey(SITE, RP_ID)
    answer = add(world, world.login(account), passkey, name="Laptop")
    assert answer.status_code == 201 and len(answer.json["recovery_codes"]) == 10
    return passkey


def asked(world: World, account: Account) -> dict[str, Any]:
    answer = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert answer.json["status"] == "factor_required" and answer.json["factors"] == ["passkey", "recovery_code"]
    return dict(answer.json)


def log_in(world: World, account: Account, passkey: SoftPasskey) -> Any:
    required = asked(world, account)
    return second_step(world, required["challenge"], credential=passkey.get(required["passkey"]))


def test_a_passkey_logs_in_confirms_and_removes_itself(world: World) -> None:
    account = world.account()
    passkey = with_passkey(world, account)
    headers = bearer(log_in(world, account, passkey))
    (factor,) = world.client.get("/account/factors", headers=headers).json["data"]
    assert (factor["type"], factor["name"]) == ("passkey", "Laptop")
    confirm = "/account/factors/confirm"
    for _ in range(2):
        told = world.client.post(confirm + "/options", headers=headers).json["options"]
        body = {"credential": passkey.get(told)}
        assert world.client.post(confirm, json=body, headers=headers).status_code == 200
        assert world.client.post(confirm, json=body, headers=headers).status_code == 401  # its question is used up
    told = world.client.post(confirm + "/options", headers=headers).json["options"]
    body = {"credential": passkey.get(told)}
    assert world.client.delete(f"/account/factors/{factor['id']}", json=body, headers=headers).status_code == 204
    assert world.client.post(confirm + "/options", headers=headers).status_code == 404
    assert world.login(account)


@pytest.mark.parametrize(
    ("origin", "rp_id"), [("https://evil.example", RP_ID), (SITE, "evil.example"), ("http://127.0.0.1:8080", RP_ID)]
)
def test_another_origin_or_relying_party_is_refused(world: World, origin: str, rp_id: str) -> None:
    account = world.account()
    headers = world.login(account)
    answer = add(world, headers, SoftPasskey(origin, rp_id))
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")
    passkey = with_passkey(world, account)
    passkey.origin, passkey.rp_id = origin, rp_id
    assert log_in(world, account, passkey).status_code == 401
    passkey.origin, passkey.rp_id = SITE, RP_ID
    assert log_in(world, account, passkey).status_code == 200


def test_a_passkey_whose_counter_went_back_is_refused_and_noted(world: World) -> None:
    from sluice.wiring import stores

    account = world.account()
    passkey = with_passkey(world, account)
    assert [log_in(world, account, passkey).status_code for _ in range(2)] == [200, 200]
    passkey.count = 0
    answer = log_in(world, account, passkey)
    assert answer.status_code == 401 and "counter went back" in answer.json["detail"]
    assert "passkey_copied" in {event.action for event in stores.audit_log().naming(account.account_id)}


def test_of_one_signature_sent_at_once_one_logs_in(world: World) -> None:
    account = world.account()
    passkey = with_passkey(world, account)
    required = asked(world, account)
    signed = passkey.get(required["passkey"])
    with ThreadPoolExecutor(4) as pool:
        send = lambda _: second_step(world, required["challenge"], credential=signed).status_code  # noqa: E731
        statuses = list(pool.map(send, range(4)))
    assert sorted(statuses) == [200, 401, 401, 401]


def test_a_signature_for_another_challenge_or_account_is_refused(world: World) -> None:
    ann, bob = world.account(), world.account()
    of_ann, of_bob = with_passkey(world, ann), with_passkey(world, bob)
    first, second = asked(world, ann), asked(world, ann)
    assert second_step(world, first["challenge"], credential=of_ann.get(second["passkey"])).status_code == 401
    assert second_step(world, first["challenge"], credential=of_bob.get(first["passkey"])).status_code == 401
    assert second_step(world, first["challenge"], credential=of_ann.get(first["passkey"])).status_code == 200


def test_a_passkey_is_added_once_and_by_the_session_that_asked(world: World) -> None:
    account = world.account()
    passkey = with_passkey(world, account)
    headers = bearer(log_in(world, account, passkey))
    assert add(world, headers, passkey).status_code == 409
    made = SoftPasskey(SITE, RP_ID).create(options(world, headers))
    other = bearer(log_in(world, account, passkey))
    assert world.client.post(PASSKEYS, json={"credential": made}, headers=other).status_code == 409
    answer = world.client.post(PASSKEYS, json={"credential": made}, headers=headers)
    assert (answer.status_code, answer.json) == (201, {"recovery_codes": []})


@pytest.mark.parametrize(
    "garbage",
    [{}, {"id": 7}, {"id": "x", "rawId": "x", "type": "public-key", "response": {}}, {"response": None, "id": "é"},
     {"id": "a", "rawId": "a", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "oA",
      "authenticatorData": "AA", "signature": "AA", "transports": [1, {}]}}],
)  # fmt: skip
def test_garbage_is_refused(world: World, garbage: dict[str, Any]) -> None:
    account = world.account()
    headers = world.login(account)
    options(world, headers)
    assert world.client.post(PASSKEYS, json={"credential": garbage}, headers=headers).status_code == 401
    with_passkey(world, account)
    required = asked(world, account)
    assert second_step(world, required["challenge"], credential=garbage).status_code == 401


def test_a_site_that_is_a_number_has_no_passkeys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.adapters.accounts.passkeys import WebAuthn, relying_party

    assert relying_party("https://models.example/stage") == ("models.example", "https://models.example")
    assert relying_party("http://[::1]:80") == ("localhost", "http://localhost:80")
    assert WebAuthn(lambda: "http://192.0.2.7:8080").origin() is None
