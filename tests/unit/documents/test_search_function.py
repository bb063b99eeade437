"""`functions/search` and its HTTP client: a search passes through both unchanged, and errors are translated."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.search import app as function
from sluice.adapters.documents.http_search import HttpSearch
from sluice.domain.documents.document import Passage
from sluice.domain.errors import ModelUnavailable, SearchUnavailable
from sluice.http.app import create_app
from sluice.ports.documents import SearchRequest
from sluice.ports.gateway import UpstreamCall
from sluice.wiring import documents

FOUND = Passage("vs_1", "file_1", "a.txt", 3, "Text of it", 0.5, {"year": 2026.5, "ok": True})
ASK = SearchRequest("usr_a", ["vs_1"], "what?", 5, floored=False, file_ids=["file_1"])


class Fixed:
    def __init__(self, fail: bool = False) -> None:
        self.asked: list[SearchRequest] = []
        self._fail = fail

    def search(self, ask: SearchRequest) -> list[Passage]:
        self.asked.append(ask)
        if self._fail:
            raise SearchUnavailable()
        return [FOUND]


class InProcess:
    """`HttpUpstream.fetch` without a network."""

    def __init__(self) -> None:
        self._client = create_app([function.blueprint]).test_client()

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        answer = self._client.post(call.path, json=dict(call.body))
        if answer.status_code != 200:
            raise ModelUnavailable()
        result: dict[str, Any] = answer.get_json()
        return result


def _use(monkeypatch: pytest.MonkeyPatch, search: Fixed) -> None:
    monkeypatch.setattr(documents, "search", lambda: search)


def test_a_search_and_its_passages_pass_over_http_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = Fixed()
    _use(monkeypatch, fixed)
    assert HttpSearch(InProcess()).search(ASK) == [FOUND]
    assert fixed.asked == [ASK]


def test_a_search_that_fails_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, Fixed(fail=True))
    with pytest.raises(SearchUnavailable):
        HttpSearch(InProcess()).search(ASK)


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": [{"other": 1}]}, {"data": [7]}])
def test_an_answer_of_the_wrong_shape_is_unavailable(answer: dict[str, Any]) -> None:
    class Odd:
        def fetch(self, call: UpstreamCall) -> dict[str, Any]:
            return answer

    with pytest.raises(SearchUnavailable):
        HttpSearch(Odd()).search(ASK)


@pytest.mark.parametrize(
    "change",
    [
        lambda ask: ask | {"account_id": "../usr_b"},
        lambda ask: ask | {"account_id": ""},
        lambda ask: ask | {"top_k": 0},
        lambda ask: ask | {"top_k": "5"},
        lambda ask: ask | {"store_ids": "vs_1"},
        lambda ask: ask | {"more": 1},
        lambda ask: {},
        lambda ask: [],
    ],
)
def test_a_body_of_the_wrong_shape_is_refused(
    change: Callable[[dict[str, Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = Fixed()
    _use(monkeypatch, fixed)
    body = change({"account_id": "usr_a", "store_ids": ["vs_1"], "query": "what?", "top_k": 5})
    answer = create_app([function.blueprint]).test_client().post("/search", json=body)
    assert answer.status_code == 422
    assert fixed.asked == []


def test_an_event_of_a_function_url_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, Fixed())
    body = json.dumps({"account_id": "usr_a", "store_ids": ["vs_1"], "query": "what?", "top_k": 5})
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/search",
        "rawQueryString": "",
        "headers": {"host": "abc.lambda-url.us-east-1.on.aws", "content-type": "application/json"},
        "requestContext": {
            "http": {"method": "POST", "path": "/search", "sourceIp": "10.0.0.1", "protocol": "HTTP/1.1"}
        },
        "body": body,
        "isBase64Encoded": False,
    }
    answer = function.handler(event, None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["data"][0]["text"] == "Text of it"
