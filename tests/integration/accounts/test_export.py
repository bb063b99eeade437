"""`GET /account/export`: all data of the account, no other account's data, and no secret."""

import json

import pytest

from sluice.domain.errors import StoreUnavailable
from tests.integration.operations.town import Town

PARTS = {
    "exported_at", "account", "limits", "quota", "payment", "sessions", "tokens", "requests", "contents", "mails",
    "audit", "files", "vector_stores", "webhooks", "refusals", "factors", "identities", "recovery_codes_left",
}  # fmt: skip


def test_the_export_has_all_data_of_the_account(town: Town) -> None:
    person = town.newcomer()
    assert person.ask().status_code == 200
    chat = person.call("POST", "/chats", {"title": "My plans"}).json
    person.client.post("/v1/responses", json={"model": "demo", "input": "Keep this, please"}, headers=person.api_token)
    person.call("POST", "/tokens/revoke-all")
    answer = person.call("GET", "/account/export")
    assert answer.status_code == 200 and answer.mimetype == "application/json"
    held = answer.json
    assert set(held) == PARTS
    assert held["account"]["email"] == person.email and held["account"]["verified_at"]
    assert held["limits"]["rpm"] == 60 and held["quota"]["tokens"] == 24
    assert [one["name"] for one in held["tokens"]] == ["laptop"]
    assert [r["prompt_tokens"] + r["completion_tokens"] for r in held["requests"]] == [12, 12]
    texts = json.dumps(held["contents"])
    for text in ("Capital of France?", "Paris", "My plans", chat["id"], "Keep this, please"):
        assert text in texts
    assert [(mail["kind"], mail["to"]) for mail in held["mails"]] == [("verify_email", person.email)]
    assert [event["action"] for event in held["audit"]] == ["tokens_revoked"]
    assert len(held["sessions"]) == 1 and held["sessions"][0]["expires_at"]


def test_the_export_has_no_secret_and_no_other_accounts_data(town: Town) -> None:
    person, other = town.newcomer(), town.newcomer()
    other.ask(messages=[{"role": "user", "content": "a secret of mine"}])
    text = person.call("GET", "/account/export").text
    for hidden in ("password_hash", "secret_hash", "argon2", "a secret of mine", other.email, other.account_id):
        assert hidden not in text
    for secret in (person.session, person.api_token):
        assert secret["Authorization"].rpartition(".")[2] not in text


def test_a_store_that_fails_half_way_is_503_without_a_partial_document(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    person = town.newcomer()

    def away(account_id: str) -> None:
        raise StoreUnavailable()

    monkeypatch.setattr(stores.mail_store(), "of_account", away)
    answer = person.call("GET", "/account/export")
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


def test_an_export_of_several_pages_of_the_store_is_complete(town: Town) -> None:
    from sluice.adapters.aws import dynamo

    person = town.newcomer()
    for place in range(12):
        text = f"{place:03d}" + "x" * 200_000
        item = {"account_id": person.account_id, "item_id": f"chatmsg#c#{place:03d}", "schema": 1, "content": text}
        dynamo.client().put_item(TableName=town.store.prefix + "contents", Item=dynamo.item(item))
    held = person.call("GET", "/account/export").json
    assert [one["content"][:3] for one in held["contents"]] == [f"{place:03d}" for place in range(12)]


def test_an_export_needs_a_session(town: Town) -> None:
    person = town.newcomer()
    for headers in ({}, person.api_token):
        assert person.client.get("/account/export", headers=headers).status_code == 401
