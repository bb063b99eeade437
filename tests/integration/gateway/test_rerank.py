"""`/v1/rerank`: scores of a model server, in the form of Cohere and Jina, charged like any other request."""

from typing import Any

import pytest

from sluice.domain.errors import UpstreamTimeout
from sluice.domain.gateway.rerank import tokens_read
from tests.integration.gateway.conftest import Person

TEXTS = ["tea", "hills", "rain"]
SCORES = [
    {"index": 0, "relevance_score": 0.1},
    {"index": 1, "relevance_score": 0.9},
    {"index": 2, "relevance_score": -1},
]


@pytest.fixture
def ranking(person: Person) -> Person:
    person.upstream.capabilities = ["rerank"]
    answers(person, {"model": "demo", "results": SCORES, "usage": {"total_tokens": 21}})
    return person


def answers(person: Person, answer: Any) -> None:
    def fetch(call: Any) -> Any:
        person.upstream.calls.append(call)
        if isinstance(answer, Exception):
            raise answer
        return answer

    person.upstream.fetch = fetch  # type: ignore[method-assign]


def rerank(person: Person, **fields: Any) -> Any:
    body = {"model": "demo", "query": "Where?", "documents": TEXTS, **fields}
    return person.client.post("/v1/rerank", json=body, headers=person.api_token)


def test_the_best_comes_first_and_the_log_has_what_the_model_read(ranking: Person) -> None:
    answer = rerank(ranking)
    assert answer.status_code == 200, answer.json
    assert answer.json["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "hills"}},
        {"index": 0, "relevance_score": 0.1, "document": {"text": "tea"}},
        {"index": 2, "relevance_score": -1.0, "document": {"text": "rain"}},
    ]
    (call,) = ranking.upstream.calls
    assert (call.path, call.body) == ("/v1/rerank", {"model": "demo", "query": "Where?", "documents": TEXTS})
    (record,) = ranking.log()
    assert (record["endpoint"], record["status"], record["prompt_tokens"]) == ("rerank", 200, 21)
    assert ranking.grant().leases == {} and ranking.grant().period_tokens == 21


def test_top_n_documents_as_objects_and_answers_without_texts(ranking: Person) -> None:
    answer = rerank(
        ranking, documents=[{"text": text, "title": "x"} for text in TEXTS], top_n=1, return_documents=False
    )
    assert answer.json["results"] == [{"index": 1, "relevance_score": 0.9}]
    assert ranking.upstream.calls[0].body["documents"] == TEXTS
    assert len(rerank(ranking, top_n=50).json["results"]) == 3


def test_a_server_without_counts_is_estimated_and_never_free(ranking: Person) -> None:
    answers(ranking, {"results": SCORES})
    assert rerank(ranking, documents=["x" * 4000, "y", "z"]).status_code == 200
    assert 1000 < ranking.log()[0]["prompt_tokens"] < 1100


@pytest.mark.parametrize(
    "usage, count",
    [
        ({"prompt_tokens": 3, "total_tokens": 5}, 3),
        ({"total_tokens": 5}, 5),
        ({"total_tokens": "x"}, None),
        (None, None),
        (7, None),
    ],
)
def test_counts_are_read_where_the_server_has_them(usage: Any, count: int | None) -> None:
    assert tokens_read({"usage": usage}) == count


def test_a_model_that_does_not_do_it_says_so(person: Person) -> None:
    error = rerank(person).json["error"]
    assert (error["param"], error["message"]) == ("model", "The model 'demo' does not do rerank.")
    assert rerank(person, model="gpt").status_code == 404
    assert person.upstream.calls == [] and person.log() == []


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"documents": []}, "documents"),
        ({"documents": ["x"] * 1001}, "documents"),
        ({"documents": [{"title": "x"}]}, None),
        ({"documents": [5]}, None),
        ({"documents": "x"}, "documents"),
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": True}, "top_n"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it(ranking: Person, fields: Any, param: str | None) -> None:
    answer = rerank(ranking, **fields)
    assert answer.status_code == 400 and answer.json["error"]["param"].startswith(param or "documents[0]"), answer.json
    assert ranking.upstream.calls == [] and ranking.log() == []


@pytest.mark.parametrize(
    "answer, status",
    [
        ({"error": "no"}, 503),
        ({"results": [{"index": 3, "relevance_score": 1}]}, 503),
        ({"results": [{"index": 0, "score": "high"}]}, 503),
        ({"results": 5}, 503),
        (UpstreamTimeout(), 504),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_with_its_record(ranking: Person, answer: Any, status: int) -> None:
    answers(ranking, answer)
    assert rerank(ranking).status_code == status
    (record,) = ranking.log()
    assert record["status"] == status and ranking.grant().leases == {}


def test_a_token_without_the_scope_and_one_without_any_are_refused(ranking: Person) -> None:
    made = ranking.call("POST", "/tokens", json={"name": "n", "expires_in": "1h", "scopes": ["inference"]}).json
    assert made is not None
    headers = {"Authorization": f"Bearer {made['token']}"}
    body = {"model": "demo", "query": "q", "documents": TEXTS}
    assert ranking.client.post("/v1/rerank", json=body, headers=headers).status_code == 403
    assert ranking.client.post("/v1/rerank", json=body).status_code == 401
    assert ranking.upstream.calls == []


def test_requests_above_the_limit_are_429(ranking: Person) -> None:
    statuses = [rerank(ranking).status_code for _ in range(61)]
    assert statuses.count(200) >= 60 and set(statuses) <= {200, 429}


@pytest.mark.parametrize(
    "wrong", [{"index": 0, "relevance_score": float("nan")}, {"index": float("inf"), "relevance_score": 1}]
)
def test_numbers_that_json_does_not_have_are_a_503(ranking: Person, wrong: dict[str, Any]) -> None:
    answers(ranking, {"model": "demo", "results": [wrong]})
    assert rerank(ranking).status_code == 503
    assert ranking.grant().leases == {}


def test_a_model_server_that_counts_more_than_was_reserved_charges_no_more(ranking: Person) -> None:
    answers(ranking, {"model": "demo", "results": SCORES, "usage": {"total_tokens": 10**9}})
    assert rerank(ranking).status_code == 200
    (record,) = ranking.log()
    assert 0 < record["prompt_tokens"] < 10_000
    assert ranking.grant().period_tokens == record["prompt_tokens"]
