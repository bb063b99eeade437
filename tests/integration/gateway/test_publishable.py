"""Publishable API tokens over HTTP: who may use them, for what, and how often, by 100 visitors at once."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import TestResponse

from sluice import settings
from sluice.domain.gateway.publishable import day_left_seconds
from sluice.wiring import stores
from tests.fakes.upstream import FakeClock
from tests.integration.gateway.conftest import Person

PAGE = "https://ada.example"
ISSUED = {"name": "my page", "kind": "publishable", "origins": [PAGE, "http://localhost:8000"]}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
VISITORS = 100


@pytest.fixture
def roomy(person: Person, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Of an account that 100 visitors at once do not fill, behind a proxy that tells their addresses."""
    monkeypatch.setenv("SLUICE_TRUSTED_PROXIES", "127.0.0.1")
    settings.accounts.cache_clear()
    before = person.grant().limits
    wide = dataclasses.replace(before, rpm=10_000, tpm=10_000_000, concurrency=1_000, monthly_tokens=10**9)
    stores.grant_store().set_limits(person.account_id, before, wide, {})
    return person


def issue(person: Person, **terms: Any) -> dict[str, Any]:
    answer = person.call("POST", "/tokens", json={**ISSUED, **terms})
    assert answer.status_code == 201 and answer.json is not None, answer.json
    return answer.json


def headers(token: str, origin: str | None = PAGE, address: str = "") -> dict[str, str]:
    found = {"Authorization": f"Bearer {token}", "Origin": origin, "X-Forwarded-For": address}
    return {name: value for name, value in found.items() if value}


def ask(person: Person, token: str, origin: str | None = PAGE, address: str = "", **fields: Any) -> TestResponse:
    body = {**person.body, "max_tokens": 5, **fields}
    return person.client.post("/v1/chat/completions", json=body, headers=headers(token, origin, address))


def message(answer: TestResponse) -> str:
    assert answer.json is not None
    return str(answer.json["error"]["message"])


def test_a_publishable_token_says_what_it_is_and_answers_its_own_pages_only(person: Person) -> None:
    issued = issue(person, per_visitor={"rpm": 7}, daily_requests=9)
    token = issued["token"]
    assert token.startswith("pk_ey") and issued["hint"] == token[-6:]
    listed = person.call("GET", f"/tokens/{issued['id']}").json
    for answer in (issued, listed):
        assert answer is not None and (answer["kind"], answer["origins"]) == ("publishable", ISSUED["origins"])
        assert (answer["per_visitor"], answer["daily_requests"]) == ({"rpm": 7}, 9)
        assert answer["scopes"] == ["inference", "embeddings"]
    answer = ask(person, token)
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    told = {name: answer.headers[f"x-ratelimit-{name}"] for name in ("limit-requests", "remaining-requests")}
    assert told == {"limit-requests": "7", "remaining-requests": "6"}
    assert answer.headers["x-ratelimit-remaining-requests-day"] == "8"
    assert "x-ratelimit-limit-tokens" not in answer.headers, "what its account may is nobody's business"
    assert ask(person, token, "http://LOCALHOST:8000").status_code == 200
    for origin in ("https://eve.example", "http://ada.example", f"{PAGE}:444", "null", None):
        refused = ask(person, token, origin)
        assert refused.status_code == 403 and refused.json is not None, origin
        assert refused.json["error"]["code"] == "forbidden" and "origin" in message(refused).lower()
    assert person.grant().token_limits[issued["id"]].day_requests == 2, "who is refused uses nothing up"


@pytest.mark.parametrize("forge", [lambda token: token[3:], lambda token: "pk_" + token])
def test_the_prefix_can_be_neither_left_out_nor_added(person: Person, forge: Callable[[str], str]) -> None:
    assert ask(person, forge(issue(person)["token"])).status_code == 401
    secret = person.api_token["Authorization"].removeprefix("Bearer ")
    assert ask(person, "pk_" + secret).status_code == 401


REFUSED = [
    ("GET", "/v1/responses/resp_a", None),
    ("DELETE", "/v1/responses/resp_a", None),
    ("GET", "/v1/chat/completions", None),
    ("DELETE", "/v1/chat/completions/chatcmpl_a", None),
    ("GET", "/v1/key", None),
    ("DELETE", "/v1/models/demo", None),
    ("POST", "/v1/chat/completions", {"store": True}),
    ("POST", "/v1/chat/completions", {"retrieval": {"vector_store_ids": ["vs_a"]}}),
    ("POST", "/v1/responses", {"input": "Hi", "store": True}),
    ("POST", "/v1/responses", {"input": "Hi", "background": True}),
    ("POST", "/v1/responses", {"input": "Hi", "previous_response_id": "resp_a"}),
    ("POST", "/v1/responses", {"input": [{"type": "item_reference", "id": "msg_a"}]}),
    ("POST", "/v1/responses", {"input": "Hi", "tools": [{"type": "file_search", "vector_store_ids": ["vs_a"]}]}),
]


@pytest.mark.parametrize(("method", "path", "fields"), REFUSED)
def test_nothing_that_is_stored_is_within_its_reach(person: Person, method: str, path: str, fields: Any) -> None:
    token, body = issue(person, scopes=["inference", "files"])["token"], None
    if fields is not None:
        body = {**(person.body if "chat" in path else {"model": "demo"}), **fields}
    answer = person.client.open(path, method=method, json=body, headers=headers(token))
    assert (answer.status_code, answer.json and answer.json["error"]["code"]) == (403, "forbidden")


def test_what_a_response_would_store_is_not_stored(person: Person) -> None:
    token = issue(person)["token"]
    answer = person.client.post("/v1/responses", json={"model": "demo", "input": "Hi"}, headers=headers(token))
    assert answer.status_code == 200 and answer.json is not None and answer.json["store"] is False
    assert person.client.get(f"/v1/responses/{answer.json['id']}", headers=person.api_token).status_code == 404


def test_it_sees_and_asks_its_own_models_only(person: Person) -> None:
    token = issue(person, models=["another"])["token"]
    listed = person.client.get("/v1/models", headers=headers(token))
    assert listed.status_code == 200 and listed.json == {"object": "list", "data": []}
    assert ask(person, token).status_code == 404
    assert person.client.get("/v1/models", headers=headers(token, "https://eve.example")).status_code == 403


def test_100_visitors_at_once_are_admitted_as_often_as_a_day_allows(roomy: Person, still: FakeClock) -> None:
    issued = issue(roomy, daily_requests=17)

    def visit(number: int) -> int:
        return ask(roomy, issued["token"], address=f"192.0.2.{number}").status_code

    with ThreadPoolExecutor(20) as threads:
        assert Counter(threads.map(visit, range(VISITORS))) == {200: 17, 429: VISITORS - 17}
    refused = ask(roomy, issued["token"], address="192.0.2.200")
    assert "17 requests a day" in message(refused) and refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) == day_left_seconds(still())
    assert refused.headers["x-ratelimit-remaining-requests-day"] == "0"
    assert roomy.ask(max_tokens=5).status_code == 200, "nor do strangers get the account blocked"
    assert roomy.grant().blocked_until_ms == 0
    assert len(roomy.log()) == 18, "one ledger record each"


def test_a_visitor_at_once_from_many_connections_is_admitted_as_often_as_a_minute_allows(
    roomy: Person, still: FakeClock
) -> None:
    issued = issue(roomy, per_visitor={"rpm": 6})

    def visit(number: int) -> tuple[str, int]:
        """Of one address, and of one IPv6 network."""
        address = "203.0.113.9" if number % 2 else f"2001:db8:1:2::{number:x}"
        return address[:4], ask(roomy, issued["token"], address=address).status_code

    with ThreadPoolExecutor(20) as threads:
        found = Counter(threads.map(visit, range(VISITORS)))
    assert found[("203.", 200)] == found[("2001", 200)] == 6, found
    assert found[("203.", 429)] == found[("2001", 429)] == VISITORS // 2 - 6
    refused = ask(roomy, issued["token"], address="203.0.113.9")
    assert "6 requests a minute for each visitor" in message(refused)
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert ask(roomy, issued["token"], address="2001:db8:1:3::1").status_code == 200, "another network"
    assert roomy.grant().token_limits[issued["id"]].day_requests == 13


def test_a_visitor_is_charged_for_what_is_wrong_in_form_too_and_the_day_as_well(
    roomy: Person, still: FakeClock
) -> None:
    issued = issue(roomy, per_visitor={"rpm": 2}, daily_requests=3)
    wrong = [ask(roomy, issued["token"], address="192.0.2.1", temperature=[]).status_code for _ in range(3)]
    assert wrong == [400, 400, 429]
    assert ask(roomy, issued["token"], address="192.0.2.2").status_code == 200
    assert "requests a day" in message(ask(roomy, issued["token"], address="192.0.2.3", temperature=[]))


def test_the_table_of_throttles_holds_no_address(roomy: Person) -> None:
    from sluice.adapters.aws import dynamo

    ask(roomy, issue(roomy)["token"], address="192.0.2.77")
    ask(roomy, issue(roomy)["token"], address="192.0.2.77")
    rows = dynamo.client().scan(TableName=settings.common().table_prefix + "throttles")["Items"]
    keys = [row["throttle_key"]["S"] for row in rows if row["throttle_key"]["S"].startswith("visitor#")]
    assert len(set(keys)) == 2, "each token has a key of its own"
    assert "192.0.2.77" not in str(rows) and all("ttl_s" in row for row in rows)


def test_a_raised_limit_of_a_visitor_is_the_one_of_his_next_refusal(roomy: Person) -> None:
    issued = issue(roomy, per_visitor={"rpm": 1})
    assert [ask(roomy, issued["token"]).status_code for _ in range(2)] == [200, 429]
    patched = roomy.call("PATCH", f"/tokens/{issued['id']}", json={"per_visitor": {"rpm": 1_000}})
    assert patched.status_code == 200
    answer = ask(roomy, issued["token"])
    assert answer.headers["x-ratelimit-limit-requests"] == "1000"
    assert answer.status_code == 200 or answer.headers["Retry-After"] == "1", "what was used stays counted"


def test_origins_and_limits_change_with_the_next_request_and_rotation_keeps_them(roomy: Person) -> None:
    issued = issue(roomy, daily_requests=5)
    path, token = f"/tokens/{issued['id']}", issued["token"]
    assert ask(roomy, token).status_code == 200
    changed = roomy.call("PATCH", path, json={"origins": ["https://b.example:443"], "limits": None})
    assert changed.status_code == 200 and changed.json is not None
    assert (changed.json["origins"], changed.json["daily_requests"]) == (["https://b.example"], 5)
    assert (ask(roomy, token).status_code, ask(roomy, token, "https://b.example").status_code) == (403, 200)
    assert roomy.call("PATCH", path, json={"daily_requests": 2, "per_visitor": {"rpm": 50}}).status_code == 200
    assert "2 requests a day" in message(ask(roomy, token, "https://b.example"))
    assert roomy.call("PATCH", path, json={"daily_requests": 3}).status_code == 200
    rotated = roomy.call("POST", path + "/rotate", json={"grace_seconds": 0}).json
    assert rotated is not None and rotated["token"].startswith("pk_") and rotated["daily_requests"] == 3
    assert (rotated["kind"], rotated["origins"]) == ("publishable", ["https://b.example"])
    assert ask(roomy, token, "https://b.example").status_code == 401
    assert ask(roomy, rotated["token"], "https://b.example").status_code == 200
    assert ask(roomy, rotated["token"], "https://b.example").status_code == 429, "one day for both"
    assert roomy.call("POST", f"/tokens/{rotated['id']}/revoke").status_code == 200
    assert ask(roomy, rotated["token"], "https://b.example").status_code == 401
    ended = roomy.call("GET", f"/tokens/{rotated['id']}").json
    assert ended is not None and (ended["kind"], ended["origins"]) == ("publishable", None)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"origins": None}, "origins"),
    ({"origins": []}, "origins"),
    ({"origins": ["*"]}, "origins"),
    ({"origins": ["https://*.example"]}, "origins"),
    ({"origins": ["https://a.example/"]}, "origins"),
    ({"origins": ["https://a.example/page"]}, "origins"),
    ({"origins": ["a.example"]}, "origins"),
    ({"origins": ["null"]}, "origins"),
    ({"origins": ["file://"]}, "origins"),
    ({"origins": ["https://u:p@a.example"]}, "origins"),
    ({"origins": ["https://a.example:99999"]}, "origins"),
    ({"origins": [f"https://{place}.example" for place in range(11)]}, "origins"),
    ({"daily_requests": 0}, "daily_requests"),
    ({"per_visitor": {"rpm": "many"}}, "per_visitor.rpm"),
    ({"per_visitor": {"rpm": 1, "tpm": 1}}, "per_visitor.tpm"),
    ({"kind": "public"}, "kind"),
    ({"kind": "secret"}, "origins"),
    ({"scopes": ["files"]}, "scopes"),
]


@pytest.mark.parametrize(("terms", "field"), WRONG)
def test_wrong_terms_are_refused_by_name(person: Person, terms: dict[str, Any], field: str) -> None:
    answer = person.call("POST", "/tokens", json={**ISSUED, **terms})
    assert answer.status_code == 422 and answer.json is not None
    assert field in {problem["field"] for problem in answer.json["errors"]}


def test_a_secret_token_has_no_origins_to_change(person: Person) -> None:
    path = f"/tokens/{person.token_id}"
    assert person.call("PATCH", path, json={"origins": [PAGE]}).status_code == 422
    assert ask(person, person.api_token["Authorization"][7:], "https://eve.example").status_code == 200


def test_preflights_of_any_page_are_answered_while_such_tokens_exist_and_its_refusals_can_be_read(
    person: Person,
) -> None:
    path, eve = "/v1/chat/completions", {"Origin": "https://eve.example"}
    assert "access-control-allow-origin" not in person.client.options(path, headers={**eve, **PREFLIGHT}).headers
    issued = issue(person)
    answer = person.client.options(path, headers={**eve, **PREFLIGHT})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
    for token in (issued["token"], "pk_nonsense"):
        refused = ask(person, token, "https://eve.example")
        assert refused.status_code in (401, 403) and refused.headers["access-control-allow-origin"] == "*"
    account_api = person.client.options("/tokens", headers={**eve, **PREFLIGHT})
    assert "access-control-allow-origin" not in account_api.headers


def test_a_store_that_is_away_is_503_and_admits_nobody(roomy: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.adapters.aws.json_service import JsonService, Unanswered

    token = issue(roomy)["token"]
    assert ask(roomy, token).status_code == 200
    real = JsonService.call

    def away(self: JsonService, operation: str, asked: dict[str, Any], **more: Any) -> Any:
        if asked.get("TableName", "").endswith("throttles"):
            raise Unanswered
        return real(self, operation, asked, **more)

    monkeypatch.setattr(JsonService, "call", away)
    assert ask(roomy, token).status_code == 503
    monkeypatch.setattr(JsonService, "call", real)
    assert ask(roomy, token).status_code == 200
