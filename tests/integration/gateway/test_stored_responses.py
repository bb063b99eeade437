"""Stored Responses are bounded in size and number, and an answer reaches its caller even if it cannot be stored
(FIELD F12b)."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.domain.errors import StoreUnavailable
from sluice.services.gateway import stored_responses as service
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.gateway.conftest import Person


def post(person: Person, **fields: Any) -> Any:
    return person.client.post(
        "/v1/responses", json={"model": "demo", "input": "hi", **fields}, headers=person.api_token
    )


def get(person: Person, identifier: str) -> Any:
    return person.client.get(f"/v1/responses/{identifier}", headers=person.api_token)


def rows(person: Person) -> list[dict[str, Any]]:
    table = person.store.prefix + "contents"
    return list(dynamo.query(table, {"account_id": person.account_id}, begins="response#"))


TOO_MUCH = {
    "metadata: members": {"metadata": {f"k{place}": "x" for place in range(17)}},
    "metadata: a key": {"metadata": {"k" * 65: "x"}},
    "metadata: a value": {"metadata": {"a": "x" * 300_000}},
    "user": {"user": "u" * 900_000},
    "a schema": {"text": {"format": {"type": "json_schema", "name": "s", "schema": {"description": "x" * 300_000}}}},
    "instructions": {"instructions": "x" * 300_000},
    "input": {"input": "x" * 300_000},
    "tools": {"tools": [{"type": "function", "name": "f", "description": "x" * 300_000}]},
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_cannot_be_stored_is_refused_before_the_model_is_asked(person: Person, what: str) -> None:
    answer = post(person, **TOO_MUCH[what])
    assert answer.status_code == 400 and answer.json["error"]["type"] == "invalid_request_error"
    assert person.upstream.calls == [] and person.grant().period_tokens == 0
    assert person.log() == []


def test_metadata_may_fill_its_bounds_and_comes_back(person: Person) -> None:
    metadata = {f"{place:064d}": "é" * 512 for place in range(16)}
    made = post(person, metadata=metadata, user="u" * 512)
    assert made.status_code == 200 and made.json["store"] is True
    assert get(person, made.json["id"]).json["metadata"] == metadata


def test_an_answer_too_long_to_be_stored_is_given_whole_and_not_stored(person: Person) -> None:
    text = "a" * 250_000
    person.script(chunk(text), chunk(None, "stop"), usage_chunk(10, 2))
    made = post(person)
    assert (made.status_code, made.json["store"]) == (200, False)
    assert made.json["output"][0]["content"][0]["text"] == text
    assert get(person, made.json["id"]).status_code == 404 and rows(person) == []
    streamed = post(person, stream=True).text
    assert streamed.endswith("data: [DONE]\n\n")
    (done,) = [line for line in streamed.splitlines() if line.startswith('data: {"type":"response.completed"')]
    assert json.loads(done.removeprefix("data: "))["response"]["store"] is False
    assert [entry["status"] for entry in person.log()] == [200, 200]


def test_an_answer_reaches_its_caller_if_the_store_goes_away_meanwhile(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    def away(*arguments: object, **options: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.hot_store(), "put_texts", away)
        made = post(person)
    assert (made.status_code, made.json["store"]) == (200, False)
    with monkeypatch.context() as broken:
        broken.setattr(stores.hot_store(), "count_up", away)
        assert post(person).status_code == 503
        assert post(person, store=False).status_code == 200
    assert person.grant().leases == {} and sorted(one["status"] for one in person.log()) == [200, 200, 503]


def test_the_newest_are_kept_and_each_replaces_the_oldest(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_RESPONSES", 3)
    ids = [post(person).json["id"] for _ in range(5)]
    assert [get(person, one).status_code for one in ids] == [404, 404, 200, 200, 200]
    assert len(rows(person)) == 3
    for gone in ids[:2]:
        assert person.client.delete(f"/v1/responses/{gone}", headers=person.api_token).status_code == 404
        assert post(person, previous_response_id=gone).status_code == 404
    assert [get(person, one).status_code for one in ids[2:]] == [200, 200, 200]


def test_a_deletion_leaves_the_response_that_took_the_place_meanwhile(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    monkeypatch.setattr(service, "MOST_RESPONSES", 1)
    old, new = post(person).json["id"], post(person).json["id"]
    stores.hot_store().delete_texts(person.account_id, "response#0000", old)  # type: ignore[attr-defined]
    assert get(person, new).status_code == 200


def test_of_many_at_once_each_gets_a_place_of_its_own(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring.gateway import stored_responses

    monkeypatch.setattr(service, "MOST_RESPONSES", 24)
    kept = stored_responses()

    def keep(place: int) -> str:
        made = kept.new_id(person.account_id)
        assert kept.put(person.account_id, {"id": made}, [], 1_800_000_000_000)
        return made

    with ThreadPoolExecutor(12) as threads:
        ids = list(threads.map(keep, range(36)))
    assert len(set(ids)) == 36 and len(rows(person)) == 24


def test_a_response_of_an_earlier_version_is_found_continued_and_deleted(person: Person) -> None:
    from sluice.wiring import stores

    old, now_ms = "resp_" + "0" * 16, 1_800_000_000_000
    texts = {"response": json.dumps({"id": old}), "messages": json.dumps([{"role": "user", "content": "before"}])}
    store: Any = stores.hot_store()
    store.put_texts(person.account_id, f"response#{old}", texts, now_ms, now_ms // 1000 + 10**6)
    assert get(person, old).status_code == 200
    assert post(person, previous_response_id=old).status_code == 200
    assert person.upstream.calls[-1].body["messages"][0]["content"] == "before"
    assert person.client.delete(f"/v1/responses/{old}", headers=person.api_token).status_code == 200
    assert get(person, old).status_code == 404
