"""Refused requests: what they are charged, what is counted of them, and who sees it."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from sluice.adapters.tokens.jwt_tokens import sign
from sluice.adapters.tokens.keys import signing_key
from sluice.domain.errors import ModelUnavailable, StoreUnavailable
from sluice.domain.tokens import Claims
from sluice.domain.usage.refusals import MAX_LAST
from sluice.http import json_bounds
from sluice.services.gateway.model_list import RETRY_SECONDS
from sluice.wiring import stores
from sluice.wiring.gateway import gateway
from sluice.wiring.usage import refusals
from tests.fakes.upstream import FakeClock
from tests.integration.gateway.conftest import Person

JSON = "application/json"
FLOOD = b'{"model":"demo","messages":[{"role":"user","content":[' + b"{}," * 330_000 + b"{}]}]}"  # FIELD F1


def post(person: Person, body: bytes, path: str = "/v1/chat/completions", content_type: str = JSON) -> Any:
    return person.client.post(path, data=body, content_type=content_type, headers=person.api_token)


def limit(person: Person, **limits: int) -> None:
    for name, value in limits.items():
        person.store.client.update_item(
            TableName=person.store.prefix + "grants",
            Key={"account_id": {"S": person.account_id}},
            UpdateExpression="SET limits.#name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"N": str(value)}},
        )


def counted(person: Person) -> dict[str, int]:
    refusals().flush()
    answer = person.call("GET", "/usage/refusals")
    assert answer.status_code == 200, answer.json
    counts: Counter[str] = Counter()
    for row in answer.json["data"]:  # type: ignore[index]
        counts[row["code"]] += row["count"]
    return dict(counts)


@pytest.mark.parametrize(
    ("body", "content_type", "wanted"),
    [
        (FLOOD, JSON, (400, "invalid_json")),
        (b"{", JSON, (400, "invalid_json")),
        (b"x" * (1024 * 1024 + 1), JSON, (413, "request_too_large")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b'{"model":"demo","messages":[]}', JSON, (400, None)),
        (b'{"model":"nope","messages":[{"role":"user","content":"a"}]}', JSON, (404, "model_not_found")),
    ],
)
def test_a_request_that_is_wrong_in_form_counts_as_a_request(
    person: Person, body: bytes, content_type: str, wanted: tuple[int, str | None], still: FakeClock
) -> None:
    answer = post(person, body, content_type=content_type)
    assert (answer.status_code, answer.json["error"]["code"]) == wanted
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    assert person.ask().headers["x-ratelimit-remaining-requests"] == "58"
    assert len(person.log()) == 1  # a refused request leaves no record
    assert person.grant().leases == {}


def test_a_request_that_could_never_fit_counts_too(person: Person, still: FakeClock) -> None:
    limit(person, tpm=50)
    answer = person.ask()
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) == (400, "59")
    assert person.log() == []


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/responses"])
def test_every_endpoint_of_the_gateway_counts_them(person: Person, path: str, still: FakeClock) -> None:
    answer = post(person, b"[1", path)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) == (400, "59")


def test_of_64_at_once_no_more_than_the_limit_get_their_400(person: Person, still: FakeClock) -> None:
    assert counted(person) == {}
    limit(person, rpm=10)
    assert person.client.get("/v1/models", headers=person.api_token).status_code == 200  # builds the gateway once
    at_once = threading.Barrier(64)

    def one(_: int) -> Any:
        own = replace(person, client=person.client.application.test_client(use_cookies=False))
        at_once.wait()
        return post(own, b'{"model":"demo","messages":[{}]}')

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(one, range(64)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[400] == 10 and statuses[429] == 54
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"10"}
    assert counted(person) == {"validation_error": 10, "rate_limit_exceeded": 54}
    assert person.ask().status_code == 429  # well-formed ones have no request left either


def test_a_flood_is_refused_before_its_body_is_parsed(
    person: Person, monkeypatch: pytest.MonkeyPatch, still: FakeClock
) -> None:
    limit(person, rpm=1)
    assert [post(person, b"{").status_code for _ in range(6)] == [400, *[429] * 5]

    def fail(raw: bytes) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(json_bounds, "excess", fail)
    assert post(person, FLOOD).status_code == 429


def test_a_flood_of_malformed_requests_is_blocked(person: Person, still: FakeClock) -> None:
    limit(person, rpm=1)
    for _ in range(30):
        post(person, b"{")
        for kept in gateway().admission._refused.values():  # as if a second had passed, so that each asks the store
            kept.last_malformed_ns -= 2_000_000_000
    assert "blocked" in post(person, b"{").json["error"]["message"]


def test_a_revoked_token_is_still_401_and_charged_nothing(person: Person) -> None:
    before = person.grant()
    assert person.call("POST", f"/tokens/{person.token_id}/revoke").status_code == 200
    answer = post(person, b"{")
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert person.grant().tat_requests_ns == before.tat_requests_ns
    assert not [name for name, _ in answer.headers if name.lower().startswith("x-ratelimit")]
    assert counted(person) == {"invalid_api_key": 1}


def test_an_expired_token_is_401_and_counted(person: Person) -> None:
    now_s = int(time.time())
    claims = Claims(person.token_id, person.account_id, now_s - 100, now_s - 1, frozenset({"inference"}), None)
    person.api_token = {"Authorization": f"Bearer {sign(claims, signing_key(), 'sluice')}"}
    assert person.ask().json["error"]["message"] == "This API token has expired."  # type: ignore[index]
    assert counted(person) == {"invalid_api_key": 1}


def test_with_the_store_away_a_malformed_request_is_503(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: Any, **more: Any) -> Any:
        raise StoreUnavailable()

    with monkeypatch.context() as gone:
        gone.setattr(stores.hot_store(), "call", away)
        answer = post(person, b"{")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "unavailable")
    assert counted(person) == {"unavailable": 1}  # kept in the process until the store took it


def test_what_is_not_the_callers_fault_or_reads_only_is_not_charged(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Any:
        raise ModelUnavailable()

    with monkeypatch.context() as down:
        down.setattr(person.upstream, "models", away)
        assert person.ask().status_code == 503
    time.sleep(RETRY_SECONDS)
    assert person.client.get("/v1/models/nope", headers=person.api_token).status_code == 404
    assert person.grant().tat_requests_ns == 0


def test_the_caller_sees_counts_and_the_last_fifty(person: Person, other: Person, still: FakeClock) -> None:
    limit(person, rpm=3)
    answers = [post(person, b"{") for _ in range(60)]
    refusals().flush()
    report = person.call("GET", "/usage/refusals").json
    assert report is not None
    rows = {(row["token_id"], row["code"]): row["count"] for row in report["data"]}
    assert rows == {(person.token_id, "invalid_json"): 3, (person.token_id, "rate_limit_exceeded"): 57}
    assert len(report["last"]) == MAX_LAST
    newest = report["last"][0]
    assert newest["id"] == answers[-1].headers["x-sluice-request-id"]
    assert (newest["status"], newest["endpoint"], newest["token_id"]) == (429, "/v1/chat/completions", person.token_id)
    assert other.call("GET", "/usage/refusals").json == {"data": [], "last": []}
    assert person.client.get("/usage/refusals").status_code == 401
    assert person.call("GET", "/usage/refusals?from=soon").status_code == 422
    assert person.call("GET", "/usage/refusals?from=2020-01-01&to=2020-01-02").json == {"data": [], "last": []}


def test_two_processes_count_one_account_exactly(person: Person) -> None:
    """As on AWS, where each environment notes and flushes by itself."""
    from sluice.domain.usage.refusals import Refusal
    from sluice.services.usage.refusals import Refusals

    now_ms = gateway().now_ms()
    made = [Refusals(stores.refusal_store(), stores.hot_store(), lambda: now_ms, in_background=False) for _ in "abcd"]

    def storm(place: int) -> None:
        for number in range(30):
            refusal = Refusal(f"req_{place}_{number}", now_ms, "tok_a", "invalid_json", 400, "/v1/completions")
            made[place].note(person.account_id, refusal)
            made[place].flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(storm, range(4)))
    for each in made:  # what lost every race waits for the next flush
        each.flush()
    assert counted(person) == {"invalid_json": 120}


def test_a_deleted_account_leaves_no_refusals_and_gets_no_new_ones(person: Person) -> None:
    from tests.integration.accounts.world import PASSWORD

    post(person, b"{")
    refusals().flush()
    exported = json.loads(person.call("GET", "/account/export").data)
    assert [one["code"] for day in exported["refusals"] for one in day["counts"]] == ["invalid_json"]
    assert person.call("DELETE", "/account", json={"password": PASSWORD}).status_code == 204
    assert post(person, b"{").status_code == 401
    refusals().flush()
    assert list(stores.refusal_store().between(person.account_id, "", "~")) == []


@pytest.mark.parametrize("stream", [True, False])
def test_no_shared_cache_keeps_an_answer_of_one_caller(person: Person, stream: bool) -> None:
    """FIELD 4: every answer that depends on the caller, streams and refusals included."""
    answers = [
        person.ask(stream=stream),
        post(person, b"{"),
        person.client.get("/v1/models", headers=person.api_token),
        person.client.get("/v1/models"),
        person.call("GET", "/usage"),
        person.call("GET", "/account"),
        person.client.get("/my/usage", headers=person.session),
    ]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "authorization" in answer.headers["Vary"].lower()


def test_an_upload_that_is_wrong_in_form_counts_too(world: Any, person: Person, still: FakeClock) -> None:
    from functions.files.app import blueprint
    from sluice.http.app import create_app

    client = create_app([blueprint]).test_client()
    wrong = {"file": (BytesIO(b"x"), "x.txt"), "purpose": "nonsense"}
    answer = client.post("/v1/files", data=wrong, headers=person.api_token)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) == (400, "59")
    answer = client.post("/v1/vector_stores", json={"file_ids": 1}, headers=person.api_token)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) == (400, "58")
    assert client.get("/v1/files?limit=0", headers=person.api_token).status_code == 400
    assert counted(person) == {"validation_error": 3}
