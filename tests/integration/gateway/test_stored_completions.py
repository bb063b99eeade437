"""Stored chat completions: what is kept, for whom, how much of it, and in which order a list shows it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import openai
import pytest

from sluice.adapters.aws import dynamo
from sluice.domain.errors import ModelUnavailable, StoreUnavailable
from sluice.services.gateway import stored_completions as service
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.gateway.conftest import Person

PATH = "/v1/chat/completions"


@pytest.fixture
def sdk(person: Person) -> Iterator[openai.OpenAI]:
    key = person.api_token["Authorization"].removeprefix("Bearer ")
    with httpx.Client(transport=httpx.WSGITransport(app=person.client.application)) as http:
        yield openai.OpenAI(api_key=key, base_url="http://sluice.test/v1", http_client=http, max_retries=0)


def get(person: Person, path: str = "") -> Any:
    return person.client.get(PATH + path, headers=person.api_token)


def stored(person: Person, **fields: Any) -> str:
    answer = person.ask(store=True, **fields)
    assert answer.status_code == 200 and answer.json is not None
    return str(answer.json["id"])


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json["data"]]


def rows(person: Person) -> list[dict[str, Any]]:
    table = person.store.prefix + "contents"
    found = dynamo.query(table, {"account_id": person.account_id}, begins="completion")
    return [row for row in found if row["item_id"] != service.COUNTER]


def test_the_sdk_stores_reads_lists_changes_and_deletes(person: Person, sdk: openai.OpenAI) -> None:
    asked: Any = {"model": "demo", "messages": [{"role": "user", "content": "Capital of France?"}]}
    made = sdk.chat.completions.create(**asked, store=True, metadata={"for": "geography"})
    assert not {"store", "metadata"} & set(person.upstream.calls[-1].body)
    kept = sdk.chat.completions.retrieve(made.id)
    assert kept.choices[0].message.content == "Paris" and kept.usage == made.usage
    assert kept.metadata == {"for": "geography"}  # type: ignore[attr-defined]
    (message,) = sdk.chat.completions.messages.list(made.id).data
    assert (message.role, message.content, message.id) == ("user", "Capital of France?", f"{made.id}-0")
    sdk.chat.completions.update(made.id, metadata={"for": "history"})
    assert [one.id for one in sdk.chat.completions.list(metadata={"for": "history"})] == [made.id]
    assert sdk.chat.completions.list(metadata={"for": "geography"}).data == []
    assert sdk.chat.completions.delete(made.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        sdk.chat.completions.retrieve(made.id)
    assert rows(person) == []


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_is_stored_whole_under_the_id_of_its_chunks(person: Person, include_usage: bool) -> None:
    text = person.ask(store=True, stream=True, stream_options={"include_usage": include_usage}).text
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    (own,) = {one["id"] for one in chunks}
    assert any(one.get("usage") for one in chunks) is include_usage and text.endswith("data: [DONE]\n\n")
    kept = get(person, f"/{own}").json
    assert (kept["object"], kept["choices"][0]["message"]["content"]) == ("chat.completion", "Paris")
    assert kept["usage"]["total_tokens"] == 12


def test_nothing_is_stored_unless_asked_nor_where_the_account_keeps_no_content(person: Person) -> None:
    person.ask()
    person.ask(store=False, metadata={"a": "b"})
    assert person.call("PATCH", "/account", json={"store_content": False}).status_code == 200
    answer = person.ask(store=True)
    assert answer.status_code == 200 and answer.headers["x-sluice-ignored"] == "store"
    assert ids(get(person)) == [] and rows(person) == []


def test_an_answer_that_failed_is_not_stored(person: Person) -> None:
    person.script(chunk("Pa"), ModelUnavailable())
    answer = person.ask(store=True, stream=True)
    assert "error" in answer.text or answer.status_code >= 500
    assert ids(get(person)) == []


def test_a_list_is_in_pages_filtered_and_in_both_orders(person: Person) -> None:
    made = [stored(person, metadata={"turn": str(turn % 2), "of": "a"}) for turn in range(5)]
    assert ids(get(person)) == made and ids(get(person, "?order=desc")) == made[::-1]
    page = get(person, "?limit=2").json
    assert [page["first_id"], page["last_id"], page["has_more"]] == [*made[:2], True]
    page = get(person, f"?limit=3&after={made[1]}").json
    assert [one["id"] for one in page["data"]] == made[2:] and page["has_more"] is False
    assert ids(get(person, f"?order=desc&after={made[1]}")) == [made[0]]
    assert ids(get(person, "?metadata[turn]=1&metadata[of]=a")) == [made[1], made[3]]
    assert ids(get(person, "?metadata[turn]=1&metadata[of]=b")) == []
    assert ids(get(person, "?model=demo")) == made and ids(get(person, "?model=other")) == []
    person.client.delete(f"{PATH}/{made[1]}", headers=person.api_token)
    assert ids(get(person, f"?after={made[1]}")) == made[2:], "a page goes on where its last one was deleted"


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=x", "order=up", "metadata[]=a", "model=" + "m" * 257])
def test_a_wrong_query_is_a_400_that_names_the_field(person: Person, query: str) -> None:
    answer = get(person, f"?{query}")
    assert answer.status_code == 400 and answer.json["error"]["message"].startswith(query.partition("=")[0][:5])


@pytest.mark.parametrize(
    "fields", [{"metadata": {"a": 1}}, {"metadata": {f"{n}": "" for n in range(17)}}, {"store": "yes"}]
)
def test_wrong_fields_are_refused_before_the_model_is_asked(person: Person, fields: dict[str, Any]) -> None:
    assert person.ask(**fields).status_code == 400
    long = [{"role": "user", "content": "x" * 250_000}]
    answer = person.ask(messages=long, store=True)
    assert answer.status_code == 400 and answer.json and answer.json["error"]["param"] == "store"
    assert person.upstream.calls == [] and person.grant().period_tokens == 0


def test_only_the_own_account_finds_it(person: Person, other: Person) -> None:
    own = stored(person)
    assert ids(get(other)) == []
    for method, path in (("GET", ""), ("GET", "/messages"), ("POST", ""), ("DELETE", "")):
        for one in (own, "chatcmpl-1", "chatcmpl-" + "0" * 28, "x" * 300):
            body = {"metadata": {"a": "b"}} if method == "POST" else None
            answer = other.client.open(f"{PATH}/{one}{path}", method=method, json=body, headers=other.api_token)
            assert answer.status_code == 404, (method, path, one)
    assert get(person, f"/{own}").json["metadata"] == {}


def test_the_newest_are_kept_and_each_replaces_the_oldest(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_COMPLETIONS", 3)
    made = [stored(person) for _ in range(5)]
    assert ids(get(person)) == made[2:] and len(rows(person)) == 6
    assert [get(person, f"/{one}").status_code for one in made] == [404, 404, 200, 200, 200]
    assert person.client.delete(f"{PATH}/{made[0]}", headers=person.api_token).status_code == 404
    changed = person.client.post(f"{PATH}/{made[1]}", json={"metadata": {"a": "b"}}, headers=person.api_token)
    assert changed.status_code == 404 and ids(get(person)) == made[2:]


def test_of_two_changes_at_once_one_is_kept_and_a_deletion_is_final(person: Person) -> None:
    own, place = stored(person), f"{PATH}/"

    def change(turn: int) -> int:
        if turn == 3:
            return person.client.delete(place + own, headers=person.api_token).status_code
        body = {"metadata": {"turn": str(turn)}}
        return person.client.post(place + own, json=body, headers=person.api_token).status_code

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(change, range(6))) <= {200, 404}
    assert get(person, f"/{own}").status_code == 404 and rows(person) == []


def test_half_of_one_does_not_count_and_can_be_deleted(person: Person) -> None:
    from sluice.wiring import stores

    halves = [stored(person), stored(person)]
    texts: Any = stores.hot_store()
    texts.delete_texts(person.account_id, f"completion-text#{int(halves[0][-12:]):04d}", halves[0])
    texts.delete_texts(person.account_id, f"completion#{int(halves[1][-12:]):04d}", halves[1])
    assert ids(get(person)) == []
    assert [get(person, f"/{one}").status_code for one in halves] == [404, 404]
    assert person.client.delete(f"{PATH}/{halves[0]}", headers=person.api_token).status_code == 200


def test_an_answer_reaches_its_caller_if_it_cannot_be_stored(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    def away(*arguments: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.hot_store(), "put_texts", away)
        assert person.ask(store=True).status_code == 200
    with monkeypatch.context() as broken:
        broken.setattr(stores.hot_store(), "count_up", away)
        assert person.ask(store=True).status_code == 503
    with monkeypatch.context() as broken:
        broken.setattr(stores.hot_store(), "list_texts", away)
        assert get(person).status_code == 503
    person.script(chunk("a" * 420_000), chunk(None, "stop"), usage_chunk(10, 2))
    assert person.ask(store=True).status_code == 200
    assert ids(get(person)) == [] and person.grant().leases == {}
    assert sorted(one["status"] for one in person.log()) == [200, 200, 503]


def test_a_page_ends_when_it_is_large(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_PAGE_BYTES", 1)
    made = [stored(person), stored(person)]
    page = get(person).json
    assert [one["id"] for one in page["data"]] == made[:1] and page["has_more"] is True


def test_a_revoked_token_reads_nothing(person: Person) -> None:
    own = stored(person)
    assert person.call("POST", f"/tokens/{person.token_id}/revoke").status_code in (200, 204)
    for path in ("", f"/{own}", f"/{own}/messages"):
        assert get(person, path).status_code == 401


def test_a_model_cannot_be_deleted_and_the_answer_says_so(person: Person) -> None:
    answer = person.client.delete("/v1/models/demo", headers=person.api_token)
    assert answer.status_code == 403 and answer.json and "deleted" in answer.json["error"]["message"]
    assert person.client.delete("/v1/models/unknown", headers=person.api_token).status_code == 404
