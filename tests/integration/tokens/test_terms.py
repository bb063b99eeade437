"""Limits, local-only and rotation of API tokens over HTTP, on a real store; and races for a rotation."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.wiring import stores
from tests.integration.accounts.world import World
from tests.integration.tokens.test_tokens import NO_LIMITS, live_of, seconds, verify


def limits_of(account_id: str) -> dict[str, Any]:
    return stores.grant_store().live_with_limits(account_id)[1]


def call(world: World, headers: dict[str, str], method: str, token_id: str, body: Any, path: str = "") -> Any:
    return world.client.open(f"/tokens/{token_id}{path}", method=method, json=body, headers=headers)


def rotate(world: World, headers: dict[str, str], token_id: str, grace_seconds: int = 0) -> Any:
    return call(world, headers, "POST", token_id, {"grace_seconds": grace_seconds}, "/rotate")


def shown(world: World, headers: dict[str, str], token_id: str) -> dict[str, Any]:
    found: dict[str, Any] = world.client.get(f"/tokens/{token_id}", headers=headers).json
    return found


@pytest.mark.parametrize("dollars", ["0.30", 0.3, "0.3", 3e-1])
def test_a_token_has_the_limits_it_was_made_with_in_exact_dollars(world: World, dollars: Any) -> None:
    account = world.account()
    headers = world.login(account)
    issued = world.issue(headers, limits={"rpm": 5, "monthly_usd": dollars}, local_only=True)
    assert issued["limits"] == {**NO_LIMITS, "rpm": 5, "monthly_usd": 0.3} and issued["local_only"] is True
    assert shown(world, headers, issued["id"])["limits"] == issued["limits"]
    (stored,) = limits_of(account.account_id).values()
    assert (stored.rpm, stored.tpm, stored.monthly_micro_usd) == (5, None, 300_000)
    assert verify(issued["token"]).local_only is True


def test_a_change_merges_limits_and_null_removes_them(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    token_id = world.issue(headers, name="old", limits={"rpm": 5, "tpm": 700})["id"]
    changed = call(world, headers, "PATCH", token_id, {"name": "new", "limits": {"rpm": None, "monthly_tokens": 9}})
    assert (changed.status_code, changed.json["name"]) == (200, "new")
    assert changed.json["limits"] == {**NO_LIMITS, "tpm": 700, "monthly_tokens": 9}
    assert call(world, headers, "PATCH", token_id, {}).json == changed.json, "what is left out stays"
    none = call(world, headers, "PATCH", token_id, {"limits": None})
    assert none.json["limits"] == NO_LIMITS and limits_of(account.account_id) == {}
    again = call(world, headers, "PATCH", token_id, {"limits": {"rpm": 0}})
    assert again.json["limits"] == {**NO_LIMITS, "rpm": 0}, "a plain token can be given limits"


WRONG = [
    {"name": None},
    {"name": " "},
    {"limits": {"rpm": -1}},
    {"limits": []},
    {"name": 5},
    {"limits": {"monthly_dolars": 5}},
]


@pytest.mark.parametrize("body", WRONG)
def test_a_wrong_change_is_422_and_changes_nothing(world: World, body: Any) -> None:
    headers = world.login(world.account())
    issued = world.issue(headers, limits={"rpm": 5})
    assert call(world, headers, "PATCH", issued["id"], body).status_code == 422
    assert shown(world, headers, issued["id"])["limits"]["rpm"] == 5


def test_a_rotated_token_has_the_same_terms_and_the_old_one_ends_after_its_grace(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    terms = {"name": "ci", "scopes": ["inference"], "models": ["demo"], "local_only": True, "limits": {"rpm": 7}}
    old = world.issue(headers, expires_in="7d", **terms)
    before_s = int(time.time())
    answer = rotate(world, headers, old["id"], 600)
    ends_s = range(before_s + 600, int(time.time()) + 601)
    new = answer.json
    assert answer.status_code == 201 and new["id"] != old["id"] and new["rotated_from"] == old["id"]
    assert {name: new[name] for name in terms} == {name: old[name] for name in terms}
    assert seconds(new["expires_at"]) - seconds(new["created_at"]) == 7 * 86_400
    claims = verify(new["token"])
    assert (claims.family, claims.local_only, claims.models) == (old["id"], True, ("demo",))
    assert live_of(account.account_id)[old["id"]] in ends_s
    assert seconds(shown(world, headers, old["id"])["expires_at"]) in ends_s
    assert list(limits_of(account.account_id)) == [old["id"]], "one family, one set of counters"
    assert call(world, headers, "PATCH", new["id"], {"limits": {"rpm": 1}}).json["limits"]["rpm"] == 1
    assert shown(world, headers, old["id"])["limits"]["rpm"] == 1, "both have the family's limits"
    third = rotate(world, headers, new["id"]).json
    assert verify(third["token"]).family == old["id"]


def test_without_a_grace_the_old_token_is_revoked_at_once_and_its_counters_stay(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    old = world.issue(headers, limits={"monthly_tokens": 100})
    dynamo.client().update_item(
        TableName=settings.common().table_prefix + "grants",
        Key=dynamo.item({"account_id": account.account_id}),
        UpdateExpression="SET tl.#family.q = :used",
        ExpressionAttributeNames={"#family": old["id"].removeprefix("tok_")},
        ExpressionAttributeValues=dynamo.item({":used": 60}),
    )
    new = call(world, headers, "POST", old["id"], {}, "/rotate").json
    assert shown(world, headers, old["id"])["status"] == "revoked"
    assert set(live_of(account.account_id)) == {new["id"]}
    grant = stores.hot_store().grant(account.account_id)
    assert grant is not None and grant.token_limits[old["id"]].tokens == 60
    assert new["limits"]["monthly_tokens"] == 100


def test_a_token_that_is_not_active_or_not_ones_own_cannot_be_rotated(world: World) -> None:
    headers = world.login(world.account())
    revoked, twice = world.issue(headers)["id"], world.issue(headers)["id"]
    call(world, headers, "POST", revoked, None, "/revoke")
    assert rotate(world, headers, twice, 600).status_code == 201
    for token_id in (revoked, twice):
        refused = rotate(world, headers, token_id)
        assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    foreign = world.issue(world.login(world.account()))["id"]
    for token_id in (foreign, "tok_none"):
        assert rotate(world, headers, token_id).status_code == 404
        assert call(world, headers, "PATCH", token_id, {"name": "x"}).status_code == 404
    late = call(world, headers, "PATCH", revoked, {"limits": {"rpm": 1}})
    assert (late.status_code, late.json["code"]) == (409, "conflict")


def test_a_body_that_may_be_empty_may_be_left_out(world: World) -> None:
    headers = world.login(world.account())
    token_id = world.issue(headers)["id"]
    refused = world.client.post(f"/tokens/{token_id}/rotate", headers=headers, data=b"{}")
    assert refused.status_code == 415
    assert world.client.post(f"/tokens/{token_id}/rotate", headers=headers).status_code == 201
    assert world.client.post("/tokens", headers=headers).status_code == 415


@pytest.mark.parametrize("grace", [-1, 86_401, "60", 1.5, True, None])
def test_a_wrong_grace_is_422(world: World, grace: Any) -> None:
    headers = world.login(world.account())
    assert rotate(world, headers, world.issue(headers)["id"], grace).status_code == 422


def test_at_the_bound_a_token_is_rotated_without_a_grace_only(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    tokens = [world.issue(headers)["id"] for _ in range(25)]
    refused = rotate(world, headers, tokens[0], 600)
    assert (refused.status_code, refused.json["code"]) == (409, "token_limit_reached")
    assert "grace_seconds 0" in refused.json["detail"]
    assert len(world.client.get("/tokens", headers=headers).json["data"]) == 25, "a refusal leaves no row"
    assert rotate(world, headers, tokens[0]).status_code == 201
    assert len(live_of(account.account_id)) == 25


@pytest.mark.parametrize("grace", [0, 600])
def test_of_many_rotations_at_once_one_wins(world: World, grace: int) -> None:
    account = world.account()
    headers = world.login(account)
    old = world.issue(headers, limits={"rpm": 3})["id"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: rotate(world, headers, old, grace), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert len(live_of(account.account_id)) == (2 if grace else 1)
    assert len(world.client.get("/tokens", headers=headers).json["data"]) == 2
    assert list(limits_of(account.account_id)) == [old]
