"""`Idempotency-Key`: the same request again gets the same answer and is charged once, in every dialect (ADR 121)."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from werkzeug.test import TestResponse

from sluice.adapters.runs import keys
from sluice.domain import errors, repeats
from sluice.domain.ids import request_id
from sluice.domain.repeats import CLAIM_MS, Claim, fingerprint, key_id
from sluice.domain.runs import KEPT_SECONDS
from sluice.wiring import peers, stores
from sluice.wiring.gateway import repeat_places
from sluice.wiring.runs import repeats as the_repeats
from sluice.wiring.runs import runs
from tests.fakes.http_server import ScriptedServer
from tests.fakes.http_server import answer as scripted
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.accounts.world import PASSWORD
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_background import blocks, work
from tests.integration.gateway.test_run import server, servers  # noqa: F401 (fixtures)
from tests.waiting import eventually

HI = [{"role": "user", "content": "Capital of France?"}]
CHAT: tuple[str, dict[str, Any]] = ("/v1/chat/completions", {"messages": HI})
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": CHAT,
    "chat-streamed": (CHAT[0], {"messages": HI, "stream": True}),
    "completions": ("/v1/completions", {"prompt": "Paris is"}),
    "completions-streamed": ("/v1/completions", {"prompt": "Paris is", "stream": True}),
    "messages": ("/v1/messages", {"messages": HI, "max_tokens": 20}),
    "messages-streamed": ("/v1/messages", {"messages": HI, "max_tokens": 20, "stream": True}),
    "responses": ("/v1/responses", {"input": "Capital of France?"}),
    "responses-streamed": ("/v1/responses", {"input": "Capital of France?", "stream": True}),
    "embeddings": ("/v1/embeddings", {"input": "Paris"}),
    "count_tokens": ("/v1/messages/count_tokens", {"messages": HI}),
    "input_tokens": ("/v1/responses/input_tokens", {"input": "Capital of France?"}),
}


def send(
    person: Person, key: str = "k", route: tuple[str, dict[str, Any]] = CHAT, prefer: str = "", **fields: Any
) -> TestResponse:
    headers = {**person.api_token, "Idempotency-Key": key, **({"Prefer": prefer} if prefer else {})}
    path, body = route
    return person.client.post(path, json={"model": "demo", **body, **fields}, headers=headers)


def read(answer: TestResponse) -> bytes:
    with answer:
        return answer.data


def error(answer: TestResponse) -> tuple[int, str]:
    assert answer.json is not None
    return answer.status_code, answer.json["error"]["code"]


def is_replay(answer: TestResponse) -> bool:
    return answer.headers.get("x-sluice-idempotent-replay") == "true"


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_the_same_request_gets_the_same_answer_and_is_charged_once(
    person: Person, route: tuple[str, dict[str, Any]]
) -> None:
    person.upstream.capabilities = ["chat", "completions", "embeddings"]
    first = send(person, route=route)
    text = read(first)
    assert first.status_code == 200 and not is_replay(first), text
    again = send(person, route=route)
    assert (again.status_code, read(again)) == (200, text)
    assert is_replay(again)
    for name in ("content-type", "x-sluice-request-id", "x-sluice-price-usd", "x-sluice-upstream"):
        assert again.headers.get(name) == first.headers.get(name)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(again.headers.getlist("x-ratelimit-limit-requests")) == 1 == len(again.headers.getlist("ratelimit"))
    (record,) = person.log()
    assert record["id"] == first.headers["x-sluice-request-id"] and len(person.upstream.calls) == 1


def test_any_body_to_a_model_behind_http_is_passed_on_once(
    person: Person,
    server: ScriptedServer,  # noqa: F811
) -> None:
    server.script(scripted(b"\x89:a picture", content_type="image/png"))
    headers = {"Content-Type": "image/png", "Idempotency-Key": "k", **person.api_token}
    large = b"x" * 2_000_000  # more than a JSON body may have
    first, again = (person.client.post("/v1/run/ocr", data=large, headers=headers) for _ in range(2))
    assert (first.status_code, first.data) == (again.status_code, again.data) == (200, b"\x89:a picture")
    assert is_replay(again) and again.headers["content-security-policy"].startswith("sandbox")
    assert again.headers["x-sluice-price-usd"] == first.headers["x-sluice-price-usd"]
    assert len(server.asked) == len(person.log()) == 1
    other = person.client.post("/v1/run/ocr", data=large, headers={**headers, "Content-Type": "image/jpeg"})
    assert error(other) == (422, "idempotency_key_reused")


def test_a_batch_is_made_once_by_requests_one_after_the_other_and_at_once(person: Person) -> None:
    form = {"file": (BytesIO(b"{}\n"), "rows.jsonl"), "purpose": "batch"}
    file = person.client.post("/v1/files", data=form, headers=person.api_token).json
    assert file is not None
    body = {"input_file_id": file["id"], "endpoint": CHAT[0], "completion_window": "24h"}
    first, again = (read(send(person, route=("/v1/batches", body))) for _ in range(2))
    assert first == again and b'"validating"' in first
    assert error(send(person, route=("/v1/batches", {**body, "metadata": {"a": "b"}}))) == (
        422,
        "idempotency_key_reused",
    )

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send(person, "l", ("/v1/batches", body)), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    listed = person.client.get("/v1/batches", headers=person.api_token).json
    assert listed is not None and len(listed["data"]) == 2


def test_a_refused_batch_leaves_its_key_free(person: Person) -> None:
    body = {"input_file_id": "file-none", "endpoint": CHAT[0], "completion_window": "24h"}
    for _ in range(2):
        refused = send(person, route=("/v1/batches", body))
        assert refused.status_code == 400 and not is_replay(refused)
    assert the_claim(person, route="/v1/batches") is None


def test_a_batch_whose_request_died_half_way_is_not_made_again(person: Person) -> None:
    body = {"input_file_id": "file-none", "endpoint": CHAT[0], "completion_window": "24h"}
    died(person, route=("/v1/batches", body))
    assert error(send(person, route=("/v1/batches", body))) == (500, "internal_error")


def test_vector_stores_are_made_and_changed_once(person: Person) -> None:
    made = [json.loads(read(send(person, route=("/v1/vector_stores", {"name": "tea"})))) for _ in range(2)]
    assert made[0] == made[1]
    path = f"/v1/vector_stores/{made[0]['id']}"
    changes = [send(person, route=(path, {"name": "coffee"})) for _ in range(2)]
    assert [is_replay(one) for one in changes] == [False, True]
    found = person.client.get("/v1/vector_stores", headers=person.api_token).json
    assert found is not None and [one["name"] for one in found["data"]] == ["coffee"]
    assert len(person.log()) == 2
    gone = f"{path}/files"
    errors_ = [send(person, route=(gone, {"file_id": "file-0"})) for _ in range(2)]
    assert [(one.status_code, is_replay(one)) for one in errors_] == [(404, False), (404, True)]  # admitted, so kept
    running = ("/v1/vector_stores", {"name": "tea"})
    died(person, "running", ago_ms=0, route=running)
    assert error(send(person, "running", running, prefer="wait=1")) == (409, "conflict")


def test_another_body_is_refused_and_the_same_in_another_order_is_not(person: Person) -> None:
    send(person, temperature=0, seed=1)
    path, body = CHAT
    turned = {"seed": 1, "temperature": 0, **body, "model": "demo"}
    assert is_replay(person.client.post(path, json=turned, headers={**person.api_token, "Idempotency-Key": "k"}))
    assert error(send(person, temperature=1)) == (422, "idempotency_key_reused")
    send(person, "m", ROUTES["messages"])
    refused = send(person, "m", ROUTES["messages"], max_tokens=21)
    assert refused.status_code == 422 and refused.json is not None
    assert refused.json["type"] == "error" and refused.json["error"]["type"] == "invalid_request_error"
    assert len(person.log()) == 2


def test_another_key_route_or_api_token_is_another_request(person: Person, other: Person) -> None:
    issued = person.call("POST", "/tokens", json={"name": "second", "expires_in": "1h"}).json
    assert issued is not None
    second = replace(person, api_token={"Authorization": f"Bearer {issued['token']}"})
    body = {"messages": HI, "prompt": "Paris", "max_tokens": 5}
    sent = [
        send(person, "k", ("/v1/chat/completions", body)),
        send(person, "l", ("/v1/chat/completions", body)),
        send(person, "k", ("/v1/completions", body)),
        send(second, "k", ("/v1/chat/completions", body)),
        send(other, "k", ("/v1/chat/completions", body)),
    ]
    assert [(answer.status_code, is_replay(answer)) for answer in sent] == [(200, False)] * 5
    assert (len(person.log()), len(other.log())) == (4, 1)


@pytest.mark.parametrize("route", [ROUTES["chat-streamed"], ROUTES["messages-streamed"], ROUTES["responses-streamed"]])
def test_a_stream_whose_caller_goes_is_finished_and_told_again(
    person: Person, route: tuple[str, dict[str, Any]]
) -> None:
    words = [chunk(f"word{place} ") for place in range(30)]
    person.script(*words, chunk(None, "stop"), usage_chunk(10, 30))
    cut = send(person, route=route)
    begun = next(iter(cut.response))
    cut.close()
    again = read(send(person, route=route))
    assert again.startswith(begun) and b"word29 " in again
    (record,) = person.log()
    assert (record["status"], record["completion_tokens"]) == (200, 30)
    assert person.grant().leases == {}


def test_a_repetition_is_told_that_the_first_still_runs_or_waits_for_it(person: Person) -> None:
    goes_on, asked = threading.Event(), threading.Event()
    person.script(chunk("Pa"), lambda: (asked.set(), goes_on.wait(30), None)[2], *FINISH)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, person)
        assert asked.wait(30)
        refused = send(person)
        assert error(refused) == (409, "conflict") and refused.headers["retry-after"] == "1"
        assert not is_replay(refused) and "preference-applied" not in refused.headers
        free = repeat_places()._free
        whole = free._value
        waiter = pool.submit(send, person, prefer="wait=30")
        eventually(lambda: free._value == whole - 1)
        goes_on.set()
        told = waiter.result()
        assert first.result().data == told.data and told.status_code == 200
    assert is_replay(told) and told.headers["preference-applied"] == "wait=30"
    assert len(person.log()) == 1


FINISH = (chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))


# --- what is not kept


def test_a_503_is_not_kept(person: Person) -> None:
    person.script(errors.ModelUnavailable())
    assert error(send(person)) == (503, "model_unavailable")
    person.script(chunk("Pa"), *FINISH)
    assert send(person).status_code == 200
    assert [record["status"] for record in person.log()] == [200, 503]


def test_a_stream_that_ends_with_a_503_is_not_kept(person: Person) -> None:
    person.script(chunk("Pa"), errors.ModelUnavailable())
    assert b"model_unavailable" in read(send(person, stream=True))
    person.script(chunk("Pa"), *FINISH)
    assert b"[DONE]" in read(send(person, stream=True))
    assert [record["status"] for record in person.log()] == [200, 503]


def test_a_429_and_what_is_refused_for_its_form_are_not_kept(person: Person) -> None:
    assert send(person, temperature="hot").status_code == 400
    assert send(person, model="none").status_code == 404
    grant = person.grant()
    set_limits(person, rpm=1)
    while (answer := send(person, "full")).status_code == 200:
        pass
    assert error(answer) == (429, "rate_limit_exceeded")
    set_limits(person, rpm=grant.limits.rpm)
    answer = send(person, "full")
    assert answer.status_code == 200 and not is_replay(answer)
    assert send(person).status_code == 200


def set_limits(person: Person, **changes: int) -> None:
    grant = person.grant()
    after = replace(grant.limits, **changes)
    stores.grant_store().set_limits(person.account_id, grant.limits, after, {}, grant.own)


def test_a_revoked_api_token_gets_no_answer_told_again_and_its_401_is_not_kept(person: Person) -> None:
    send(person)
    revoke = lambda: (person.call("POST", f"/tokens/{person.token_id}/revoke"), None)[1]  # noqa: E731
    wait = lambda: (time.sleep(3.1), None)[1]  # noqa: E731  (a checkpoint is due then)
    person.script(chunk("Pa"), revoke, wait, chunk("ris"), *FINISH)
    assert error(send(person, "l")) == (401, "invalid_api_key")
    assert error(send(person)) == (401, "invalid_api_key")
    assert error(send(person, "l")) == (401, "invalid_api_key")
    assert the_claim(person, "l") is None and the_claim(person) is not None


def the_claim(person: Person, key: str = "k", route: str = CHAT[0]) -> Claim | None:
    name = key_id(person.token_id, route, key)
    return the_repeats().claims.get(person.account_id, name, peers.now_ms())


def test_an_error_of_an_admitted_request_is_kept(person: Person) -> None:
    person.script(errors.UpstreamTimeout())
    first = send(person)
    again = send(person)
    assert error(first) == error(again) == (504, "upstream_timeout") and first.data == again.data
    assert is_replay(again) and len(person.log()) == len(person.upstream.calls) == 1


def test_an_account_that_keeps_no_content_is_told_so(person: Person) -> None:
    send(person)
    person.call("PATCH", "/account", json={"store_content": False})
    for key in ("k", "l"):
        refused = send(person, key)
        assert refused.status_code == 400 and refused.json is not None
        assert "keeps no content" in refused.json["error"]["message"]
        assert refused.json["error"]["param"] == "Idempotency-Key"
    assert person.ask().status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"], ids=["empty", "long", "accent", "tab"])
def test_a_key_of_another_form_is_refused(person: Person, key: str) -> None:
    refused = send(person, key)
    assert refused.status_code == 400 and refused.json is not None
    assert refused.json["error"]["param"] == "Idempotency-Key"
    assert send(person, "x" * 255).status_code == 200


# --- what dies


def died(person: Person, key: str = "k", ago_ms: int = CLAIM_MS + 1, route: tuple[str, dict[str, Any]] = CHAT) -> Claim:
    """A claim whose process has died so long ago."""
    body = {"model": "demo", **route[1]}
    name = key_id(person.token_id, route[0], key)
    claim = Claim(person.account_id, name, request_id(peers.now_ms() - ago_ms), fingerprint(key, body))
    assert the_repeats().claims.put(claim, peers.now_ms()) is None
    return claim


def test_an_execution_that_died_is_answered_by_its_error_and_not_executed_again(person: Person) -> None:
    claim = died(person)
    for answer in (send(person), send(person)):
        assert error(answer) == (500, "internal_error") and is_replay(answer)
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-sluice-request-id"] == claim.request_id
    assert person.upstream.calls == [] == person.log()
    assert not the_repeats().claims.end(claim, "kept")  # a process that was only held up comes too late


def test_a_claim_without_a_lease_lives_for_two_minutes(person: Person) -> None:
    died(person, ago_ms=CLAIM_MS - 60_000)
    assert error(send(person)) == (409, "conflict")


def test_a_process_that_died_after_its_settlement_is_found_by_the_ledger(person: Person) -> None:
    answer = send(person, "other")
    record = stores.hot_store().record(person.account_id, answer.headers["x-sluice-request-id"])
    assert record is not None
    for key, taken_ms in (("long ago", 1_000), ("just now", 600_000)):
        claim = died(person, key, ago_ms=600_000)
        created_ms = peers.now_ms() - 600_000
        ended = replace(record, request_id=claim.request_id, created_ms=created_ms, response_time_ms=taken_ms)
        stores.hot_store().put_record(ended)
    assert error(send(person, "long ago")) == (500, "internal_error")
    assert error(send(person, "just now")) == (409, "conflict")  # its answer is being kept


def test_a_lease_says_whether_an_old_request_still_runs(person: Person) -> None:
    asked, goes_on = threading.Event(), threading.Event()
    person.script(chunk("Pa"), lambda: (asked.set(), goes_on.wait(30), None)[2], *FINISH)
    first = threading.Thread(target=lambda: send(person))
    first.start()
    assert asked.wait(30)
    grant, claim = person.grant(), the_claim(person)
    assert claim is not None
    (lease,) = grant.leases.values()
    at = lambda late_ms: replace(the_repeats(), now_ms=lambda: lease.expires_ms + late_ms)  # noqa: E731
    assert at(9_999).as_it_stands(claim, grant).status == "running"
    assert at(10_001).as_it_stands(claim, grant).status == "lost"
    goes_on.set()
    first.join()
    assert error(send(person)) == (500, "internal_error")  # what was held up does not bring it back
    assert [record["status"] for record in person.log()] == [200]


# --- bounds


def test_a_key_is_free_again_after_a_day(person: Person) -> None:
    claim = died(person)
    late = replace(claim, request_id=request_id(peers.now_ms()), fingerprint="another")
    claims = the_repeats().claims
    assert claims.put(late, peers.now_ms() + KEPT_SECONDS * 1000 - 2_000) == claim
    assert claims.put(late, peers.now_ms() + KEPT_SECONDS * 1000 + 2_000) is None


def test_an_answer_that_is_too_large_is_not_kept_and_says_so(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (repeats, "sluice.http.gateway.repeats", "sluice.services.repeats"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.MOST_ANSWER_BYTES", 200)
    for stream in (False, True):
        assert b"ris" in read(send(person, f"{stream}", stream=stream))
        again = send(person, f"{stream}", stream=stream)
        assert error(again) == (409, "conflict") and again.headers["x-should-retry"] == "false"
        assert "not kept" in again.json["error"]["message"] and "retry-after" not in again.headers  # type: ignore[index]
    assert len(person.log()) == 2


def test_an_account_has_so_many_keys_a_day(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 2)
    assert [send(person, key).status_code for key in "abab"] == [200] * 4
    refused = send(person, "c")
    assert error(refused) == (429, "rate_limit_exceeded") and int(refused.headers["retry-after"]) > 0
    assert the_claim(person, "c") is None and len(person.log()) == 2


def test_many_at_once_have_one_claim(person: Person) -> None:
    made: list[Claim | None] = []
    claims = [
        Claim(person.account_id, "one", request_id(peers.now_ms()), fingerprint("k", {"n": place}))
        for place in range(16)
    ]
    threads = [
        threading.Thread(target=lambda claim=claim: made.append(the_repeats().claims.put(claim, peers.now_ms())))
        for claim in claims
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.count(None) == 1 and len(set(made)) == 2


# --- with other mechanisms


def test_a_background_response_is_submitted_once_and_its_stream_followed_again(person: Person) -> None:
    whole = [read(send(person, "a", ("/v1/responses", {"input": "hi", "background": True}))) for _ in range(2)]
    assert whole[0] == whole[1] and b'"status":"queued"' in whole[0]
    body = {"input": "hi", "background": True, "stream": True}
    streams = [send(person, "b", ("/v1/responses", body)) for _ in range(2)]
    assert [is_replay(stream) for stream in streams] == [False, True]
    claim = Claim(person.account_id, key_id(person.token_id, "/v1/responses", "b"), "", "")
    found = the_repeats().claims.get(claim.account_id, claim.key_id, peers.now_ms())
    assert found is not None and found.status == "kept"
    work(person, {"id": run_response(person, found.request_id)})
    texts = [b"".join(event for event in blocks(read(stream)) if event.startswith(b"event: ")) for stream in streams]
    assert texts[0] == texts[1] and b"response.completed" in texts[0]
    assert len(person.log()) == 1


def run_response(person: Person, run_id: str) -> str:
    run = runs().rows.get(person.account_id, run_id)
    assert run is not None
    return run.response_id


def test_the_answers_of_an_account_are_erased_with_it(person: Person) -> None:
    read(send(person, stream=True))
    prefix = f"runs/{person.account_id}/"
    assert len(list(stores.blobs().keys(prefix))) == 1
    person.call("DELETE", "/account", json={"password": PASSWORD})
    assert list(stores.blobs().keys(prefix)) == []


def test_a_store_that_is_away_at_the_end_learns_of_it_later(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = keys.DynamoClaims.end, list[str]()

    def end(self: keys.DynamoClaims, claim: Claim, status: repeats.Status) -> bool:
        calls.append(status)
        if len(calls) == 1:
            raise errors.StoreUnavailable()
        return real(self, claim, status)

    monkeypatch.setattr(keys.DynamoClaims, "end", end)
    first = send(person)
    eventually(lambda: (claim := the_claim(person)) is not None and claim.status == "kept")
    assert read(send(person)) == first.data and calls == ["kept", "kept"]


def test_a_request_without_a_key_leaves_no_trace(person: Person) -> None:
    person.ask()
    assert list(stores.blobs().keys(f"runs/{person.account_id}/")) == []


@pytest.fixture(autouse=True)
def _every_thread_ends() -> Iterator[None]:
    before = threading.active_count()
    yield
    eventually(lambda: threading.active_count() <= before)
