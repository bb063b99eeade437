"""API tokens over HTTP, on a real store: issue, list, revoke, delete, the limit, and races for it."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from sluice.domain import errors
from tests.integration.accounts.world import World

DAY_S = 86_400
NO_LIMITS: dict[str, Any] = {"rpm": None, "tpm": None, "monthly_tokens": None, "monthly_usd": None}


def verify(token: str, now_s: int | None = None) -> Any:
    from sluice.wiring import peers

    return peers.token_verifier().verify(token, now_s or int(time.time()))


def live_of(account_id: str) -> dict[str, int]:
    from sluice.wiring import stores

    return stores.grant_store().live(account_id)


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def test_an_issued_token_is_shown_once_with_its_permissions(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    issued = world.issue(
        headers, name="  laptop ", scopes=["embeddings", "inference"], models=["demo"], expires_in="1d"
    )
    terms = ("limits", "local_only", "rotated_from", "kind", "origins", "per_visitor", "daily_requests")
    assert set(issued) == {"id", "name", "token", "hint", "scopes", "models", "created_at", "expires_at", *terms}
    assert [issued[name] for name in terms] == [NO_LIMITS, False, None, "secret", None, None, None]
    assert (issued["name"], issued["scopes"], issued["models"]) == ("laptop", ["inference", "embeddings"], ["demo"])
    assert issued["hint"] == issued["token"][-6:]
    claims = verify(issued["token"])
    assert (claims.token_id, claims.account_id, claims.models) == (issued["id"], account.account_id, ("demo",))
    assert claims.scopes == {"inference", "embeddings"}
    assert claims.expires_s == seconds(issued["expires_at"]) == live_of(account.account_id)[issued["id"]]
    one = world.client.get(f"/tokens/{issued['id']}", headers=headers)
    assert one.status_code == 200 and issued["token"] not in one.text
    assert one.json == {
        **{
            name: issued[name]
            for name in ("id", "name", "hint", "scopes", "models", "created_at", "expires_at", *terms)
        },
        "status": "active",
        "last_used_at": None,
        "revoked_at": None,
    }


def test_the_store_does_not_hold_the_token(world: World) -> None:
    from sluice import settings
    from sluice.adapters.aws import dynamo

    issued = world.issue(world.login(world.account()))
    for table in ("tokens", "grants"):
        items = dynamo.client().scan(TableName=settings.common().table_prefix + table)["Items"]
        assert items and issued["token"].rpartition(".")[2] not in str(items)


def test_the_defaults_are_all_scopes_and_models_for_thirty_days(world: World) -> None:
    issued = world.issue(world.login(world.account()))
    assert issued["scopes"] == ["inference", "embeddings", "files", "batches"] and issued["models"] is None
    assert seconds(issued["expires_at"]) - seconds(issued["created_at"]) == 30 * DAY_S


def test_every_format_of_expires_in_is_accepted(world: World) -> None:
    headers = world.login(world.account())
    named = {"1h": 3600, "1d": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S, "90d": 90 * DAY_S, "1y": 365 * DAY_S}
    for expires_in, lifetime_s in [*named.items(), (60, 60), (3600, 3600), (31_536_000, 31_536_000)]:
        issued = world.issue(headers, expires_in=expires_in)
        assert seconds(issued["expires_at"]) - seconds(issued["created_at"]) == lifetime_s, expires_in


INVALID_FIELDS: list[tuple[dict[str, Any], str]] = [
    *(
        ({"name": "x", "expires_in": value}, "expires_in")
        for value in (
            True,
            False,
            3600.0,
            3600.5,
            "3600",
            "2d",
            "1D",
            "",
            59,
            0,
            -1,
            31_536_001,
            10**30,
            None,
            [],
            {},
        )
    ),
    ({"name": "x", "scopes": []}, "scopes"),
    ({"name": "x", "scopes": ["admin"]}, "scopes"),
    ({"name": "x", "scopes": ["inference", "Inference"]}, "scopes"),
    ({"name": "x", "scopes": "inference"}, "scopes"),
    ({"name": "x", "scopes": [1]}, "scopes.0"),
    ({"name": "x", "models": []}, "models"),
    ({"name": "x", "models": [""]}, "models"),
    ({"name": "x", "models": ["m" * 101]}, "models"),
    ({"name": "x", "models": ["two words"]}, "models"),
    ({"name": "x", "models": ["modèle"]}, "models"),
    ({"name": "x", "models": ["m"] * 21}, "models"),
    ({"name": "x", "models": "demo"}, "models"),
    *(({"name": "x", "limits": {"rpm": value}}, "limits.rpm") for value in (-1, 1.0, "5", True, 10**12 + 1)),
    *(
        ({"name": "x", "limits": {"monthly_usd": value}}, "limits.monthly_usd")
        for value in (-0.01, "1e-7", "five", "", True, "NaN", "Infinity", 10**10, [], "0." + "1" * 40)
    ),
    ({"name": "x", "limits": 5}, "limits"),
    ({"name": "x", "local_only": "true"}, "local_only"),
    ({"name": "", "expires_in": "1d"}, "name"),
    ({"name": "   "}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": 1}, "name"),
    ({"name": None}, "name"),
    ({}, "name"),
]


def test_an_invalid_field_is_422_and_named_and_issues_nothing(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    for body, field in INVALID_FIELDS:
        answer = world.client.post("/tokens", json=body, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error"), body
        assert [problem["field"] for problem in answer.json["errors"]] == [field], body
    assert world.client.get("/tokens", headers=headers).json == {"data": []}
    assert live_of(account.account_id) == {}


def test_the_list_is_newest_first(world: World) -> None:
    headers = world.login(world.account())
    issued = [world.issue(headers, name=f"n{place}")["id"] for place in range(4)]
    listed = world.client.get("/tokens", headers=headers).json["data"]
    assert [entry["id"] for entry in listed] == issued[::-1]


def test_revoking_removes_the_token_from_the_grant_and_may_be_repeated(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    issued, other = world.issue(headers), world.issue(headers)
    first = world.client.post(f"/tokens/{issued['id']}/revoke", headers=headers)
    assert (first.status_code, first.json["status"]) == (200, "revoked")
    assert first.json["revoked_at"] is not None
    assert set(live_of(account.account_id)) == {other["id"]}
    again = world.client.post(f"/tokens/{issued['id']}/revoke", headers=headers)
    assert (again.status_code, again.json) == (200, first.json)
    listed = {entry["id"]: entry["status"] for entry in world.client.get("/tokens", headers=headers).json["data"]}
    assert listed == {issued["id"]: "revoked", other["id"]: "active"}


def test_concurrent_revocations_revoke_once(world: World) -> None:
    headers = world.login(world.account())
    issued = world.issue(headers)

    def go(_: int) -> tuple[int, Any]:
        answer = world.app.test_client(use_cookies=False).post(f"/tokens/{issued['id']}/revoke", headers=headers)
        return answer.status_code, answer.json["revoked_at"]

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(go, range(8)))
    assert len(answers) == 1 and answers.pop()[0] == 200


def test_an_interrupted_revocation_is_shown_and_can_be_repeated(world: World) -> None:
    from sluice.wiring import stores

    account = world.account()
    headers = world.login(account)
    issued = world.issue(headers)
    stores.grant_store().remove_live(account.account_id, issued["id"])
    half = world.client.get(f"/tokens/{issued['id']}", headers=headers).json
    assert (half["status"], half["revoked_at"]) == ("revoked", None)
    whole = world.client.post(f"/tokens/{issued['id']}/revoke", headers=headers).json
    assert whole["status"] == "revoked" and whole["revoked_at"] is not None


def test_an_expired_token_has_the_status_expired(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.tokens import app as tokens

    account = world.account()
    headers = world.login(account)
    issued = world.issue(headers, expires_in=60)
    later_ms = (int(time.time()) + 61) * 1000
    monkeypatch.setattr(tokens, "now_ms", lambda: later_ms)
    assert world.client.get(f"/tokens/{issued['id']}", headers=headers).json["status"] == "expired"
    revoked = world.client.post(f"/tokens/{issued['id']}/revoke", headers=headers)
    assert (revoked.status_code, revoked.json["status"]) == (200, "expired")
    with pytest.raises(errors.InvalidApiToken, match="expired"):
        verify(issued["token"], later_ms // 1000)


def test_a_deleted_token_is_refused_and_not_listed(world: World) -> None:
    account = world.account()
    headers = world.login(account)
    issued = world.issue(headers)
    assert world.client.delete(f"/tokens/{issued['id']}", headers=headers).status_code == 204
    assert live_of(account.account_id) == {}
    assert world.client.get("/tokens", headers=headers).json["data"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/revoke")):
        answer = world.client.open(f"/tokens/{issued['id']}{path}", method=method, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_token_of_another_account_is_404_and_stays_valid(world: World) -> None:
    owner = world.account()
    issued = world.issue(world.login(owner))
    stranger = world.login(world.account())
    for method, path in (("GET", ""), ("POST", "/revoke"), ("DELETE", "")):
        answer = world.client.open(f"/tokens/{issued['id']}{path}", method=method, headers=stranger)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert set(live_of(owner.account_id)) == {issued["id"]}


def test_revoke_all_revokes_every_token_and_returns_their_number(world: World) -> None:
    from sluice.wiring import stores

    account = world.account()
    headers = world.login(account)
    for _ in range(3):
        world.issue(headers)
    world.client.post(f"/tokens/{world.issue(headers)['id']}/revoke", headers=headers)
    assert world.client.post("/tokens/revoke-all", headers=headers).json == {"revoked": 3}
    assert live_of(account.account_id) == {}
    statuses = [entry["status"] for entry in world.client.get("/tokens", headers=headers).json["data"]]
    assert statuses == ["revoked"] * 4
    assert world.client.post("/tokens/revoke-all", headers=headers).json == {"revoked": 0}
    grant = stores.hot_store().grant(account.account_id)
    assert grant is not None and "playground" in grant.live


def test_of_26_concurrent_issues_exactly_25_succeed_and_one_leaves_no_row(world: World) -> None:
    account = world.account()
    headers = world.login(account)

    def go(place: int) -> int:
        client = world.app.test_client(use_cookies=False)
        answer = client.post("/tokens", json={"name": f"n{place}"}, headers=headers)
        assert answer.status_code == 201 or answer.json["code"] == "token_limit_reached"
        return int(answer.status_code)

    with ThreadPoolExecutor(26) as pool:
        codes = list(pool.map(go, range(26)))
    assert sorted(codes) == [201] * 25 + [409]
    assert len(live_of(account.account_id)) == 25
    assert len(world.client.get("/tokens", headers=headers).json["data"]) == 25


def test_revoking_a_token_makes_room_for_another(world: World) -> None:
    headers = world.login(world.account())
    issued = [world.issue(headers) for _ in range(25)]
    full = world.client.post("/tokens", json={"name": "x"}, headers=headers)
    assert (full.status_code, full.json["code"]) == (409, "token_limit_reached")
    world.client.post(f"/tokens/{issued[3]['id']}/revoke", headers=headers)
    assert world.issue(headers)


def test_the_next_issue_prunes_expired_entries_even_with_concurrent_issues(world: World) -> None:
    from sluice.wiring import stores

    account, now_s = world.account(), int(time.time())
    headers, grants = world.login(account), stores.grant_store()
    for place in range(25):
        expires_s = now_s - 100 if place < 20 else now_s + 1000
        grants.add_live(account.account_id, f"tok_{place}", expires_s, now_s - 1000, 0)

    def go(place: int) -> int:
        client = world.app.test_client(use_cookies=False)
        return int(client.post("/tokens", json={"name": f"n{place}"}, headers=headers).status_code)

    with ThreadPoolExecutor(24) as pool:
        codes = list(pool.map(go, range(24)))
    assert sorted(codes) == [201] * 20 + [409] * 4
    live = live_of(account.account_id)
    assert len(live) == 25 and min(live.values()) > now_s


def test_adding_a_live_token_again_after_a_lost_answer_is_no_error(world: World) -> None:
    from sluice.wiring import stores

    account, now_s = world.account(), int(time.time())
    for _ in range(2):
        stores.grant_store().add_live(account.account_id, "tok_a", now_s + 1000, now_s, 0)
    assert live_of(account.account_id)["tok_a"] == now_s + 1000


def test_the_public_keys_are_published_and_verify_a_token(world: World) -> None:
    import jwt

    issued = world.issue(world.login(world.account()))
    answer = world.client.get("/.well-known/jwks.json")
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "public, max-age=300"
    (key,) = answer.json["keys"]
    assert set(key) == {"kty", "crv", "x", "use", "alg", "kid"} and key["alg"] == "EdDSA"
    header = jwt.get_unverified_header(issued["token"])
    assert header == {"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"]}
    payload = jwt.decode(issued["token"], jwt.PyJWK(key).key, ["EdDSA"], audience="sluice", issuer="sluice")
    assert payload["jti"] == issued["id"] and "models" not in payload
    assert payload["scope"] == "inference embeddings files batches"


def test_every_token_call_needs_a_session(world: World) -> None:
    for method, path in (
        ("POST", "/tokens"),
        ("GET", "/tokens"),
        ("GET", "/tokens/x"),
        ("DELETE", "/tokens/x"),
        ("POST", "/tokens/x/revoke"),
        ("POST", "/tokens/revoke-all"),
    ):
        answer = world.client.open(path, method=method, json={"name": "x"} if method == "POST" else None)
        assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated"), path
