"""`GET /v1/key` and what `GET /v1/models` says of a model."""

import dataclasses
from typing import Any

from sluice.adapters.gateway.hot_store import DynamoHotStore
from sluice.domain.errors import StoreUnavailable
from sluice.wiring import stores
from tests.fakes.upstream import FakeClock
from tests.integration.gateway.conftest import ANSWER, Person

NONE_LEFT = {"requests": None, "tokens": None, "monthly_tokens": None, "monthly_usd": None}


def key(person: Person) -> Any:
    return person.client.get("/v1/key", headers=person.api_token)


def test_a_key_says_what_it_may_do_and_that_it_has_no_limits_of_its_own(person: Person) -> None:
    issued = person.call("GET", f"/tokens/{person.token_id}").json
    assert issued is not None
    answer = key(person)
    assert answer.status_code == 200
    for name in ("id", "name", "scopes", "models", "expires_at"):
        assert answer.json[name] == issued[name]
    assert answer.json["limits"] == {"rpm": None, "tpm": None, "monthly_tokens": None, "monthly_usd": None}
    assert answer.json["remaining"] == NONE_LEFT
    assert answer.json["account_remaining"] == {
        "requests": 60, "tokens": 40_000, "monthly_tokens": 1_000_000, "monthly_usd": None,
    }  # fmt: skip
    assert answer.headers["cache-control"] == "private, no-store"


def test_a_key_of_some_models_and_scopes_names_them(person: Person) -> None:
    body = {"name": "narrow", "scopes": ["embeddings"], "models": ["demo"]}
    issued = person.call("POST", "/tokens", json=body).json
    assert issued is not None
    answer = person.client.get("/v1/key", headers={"Authorization": f"Bearer {issued['token']}"}).json
    assert answer is not None
    assert (answer["id"], answer["name"]) == (issued["id"], "narrow")
    assert (answer["scopes"], answer["models"]) == (["embeddings"], ["demo"])


def test_what_is_left_counts_running_requests_and_then_exactly_what_was_used(person: Person, still: FakeClock) -> None:
    during: list[Any] = []
    person.script(lambda: during.append(key(person).json["account_remaining"]), *ANSWER)
    assert person.ask(max_tokens=100).status_code == 200
    assert during[0]["requests"] == 59 and during[0]["monthly_tokens"] < 1_000_000 - 100
    assert during[0]["tokens"] < 40_000 - 99
    left = key(person).json["account_remaining"]
    assert left["monthly_tokens"] == 1_000_000 - 12
    assert left["tokens"] == 40_000 - 12
    assert person.log()[0]["total_tokens"] == 12 and len(person.log()) == 1  # asking leaves no record


def test_nothing_is_left_where_a_limit_is_0_and_the_month_begins_anew(person: Person) -> None:
    person.ask()
    grants, before = stores.grant_store(), person.grant().limits
    grants.set_limits(person.account_id, before, dataclasses.replace(before, rpm=0, monthly_tokens=5), {})
    left = key(person).json["account_remaining"]
    assert (left["requests"], left["monthly_tokens"]) == (0, 0)
    person.store.client.update_item(
        TableName=person.store.prefix + "grants",
        Key={"account_id": {"S": person.account_id}},
        UpdateExpression="SET #period = :old",
        ExpressionAttributeNames={"#period": "period"},
        ExpressionAttributeValues={":old": {"N": "202001"}},
    )
    assert key(person).json["account_remaining"]["monthly_tokens"] == 5


def test_a_key_is_refused_when_it_is_revoked_deleted_missing_or_the_store_is_away(
    person: Person, monkeypatch: Any
) -> None:
    assert person.client.get("/v1/key").status_code == 401
    other = person.call("POST", "/tokens", json={"name": "second"}).json
    assert other is not None
    bearer = {"Authorization": f"Bearer {other['token']}"}
    assert person.call("POST", f"/tokens/{other['id']}/revoke").status_code == 200
    assert person.client.get("/v1/key", headers=bearer).json["error"]["code"] == "invalid_api_key"  # type: ignore[index]
    stores.token_store().delete(person.account_id, person.token_id)  # its row is gone, its entry not yet
    assert key(person).status_code == 401

    def away(*_: Any) -> None:
        raise StoreUnavailable()

    monkeypatch.setattr(DynamoHotStore, "grant", away)
    assert key(person).status_code == 503


def test_a_key_of_limits_says_what_is_left_of_them_beside_the_accounts(person: Person, still: FakeClock) -> None:
    limits = {"rpm": 5, "tpm": 3000, "monthly_tokens": 2000, "monthly_usd": "0.50"}
    issued = person.call("POST", "/tokens", json={"name": "small", "limits": limits}).json
    assert issued is not None
    person.api_token["Authorization"] = f"Bearer {issued['token']}"
    assert person.ask(max_tokens=100).status_code == 200
    answer = key(person).json
    assert answer["limits"] == {**limits, "monthly_usd": 0.5} == issued["limits"]
    left = answer["remaining"]
    assert (left["requests"], left["monthly_tokens"], left["monthly_usd"]) == (4, 2000 - 12, 0.5)
    assert left["tokens"] == 3000 - 12
    assert answer["account_remaining"]["monthly_tokens"] == 1_000_000 - 12


def test_the_row_of_a_server_that_states_little_has_every_field_but_its_capabilities(person: Person) -> None:
    person.upstream.models = lambda: [{"id": "x", "object": "model", "pricing": {"prompt": "9"}}]  # type: ignore[method-assign]
    found = person.client.get("/v1/models/x", headers=person.api_token).json
    assert found == {
        "id": "x", "object": "model", "owned_by": "", "context_window": None, "aliases": [], "pricing": {},
    }  # fmt: skip
