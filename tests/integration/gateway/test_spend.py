"""A paid upstream with a bound a day, from the owner's settings to the answer, the ledger, the log and the admin's
pages."""

from collections.abc import Callable
from typing import Any

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.usage.usage import amounts_of
from sluice.ports.gateway import Reserved, UpstreamCall
from sluice.wiring import peers, stores, upstreams
from tests.fakes.upstream import FakeStream, FakeUpstream, usage_chunk
from tests.integration.gateway.conftest import ANSWER, Person
from tests.integration.gateway.test_owners_terms import apply

COST = 10 * 3 + 2 * 7  # micro-dollars of the answer's tokens
PAID = {
    "name": "cloud",
    "kind": "openai",
    "url": "https://api.example.com/v1",
    "leaves_home": True,
    "daily_usd": "0.003",
    "prompt_usd": "3.00",
    "completion_usd": "7.00",
}
HOME = {"name": "local", "kind": "engine"}
MODEL = {"id": "demo", "upstreams": ["cloud:big", "local:demo"]}


@pytest.fixture
def cloud(person: Person, monkeypatch: pytest.MonkeyPatch) -> FakeUpstream:
    upstream, now_ms = FakeUpstream(*ANSWER), peers.now_ms()
    monkeypatch.setattr(peers, "now_ms", lambda: now_ms)  # so that no day ends meanwhile
    monkeypatch.setattr(upstreams, "elsewhere", lambda one: upstream)
    apply(upstreams=[PAID, HOME], models=[MODEL])
    return upstream


def spent() -> int:
    return stores.spend().spent("cloud", peers.now_ms())


def test_an_answer_costs_its_day_what_its_server_counted(person: Person, cloud: FakeUpstream) -> None:
    answer = person.ask(max_tokens=100)
    assert (answer.status_code, answer.headers["x-sluice-upstream"]) == (200, "cloud")
    assert spent() == COST
    assert person.ask(max_tokens=100, stream=True).get_data()
    assert spent() == 2 * COST and cloud.calls[-1].body["model"] == "big"


def test_a_request_that_may_cost_more_than_is_left_of_the_day_is_answered_by_the_next(
    person: Person, cloud: FakeUpstream
) -> None:
    assert person.ask(max_tokens=500).headers["x-sluice-upstream"] == "local"  # 3,500 micro-dollars and the prompt
    assert cloud.calls == [] and spent() == 0
    apply(upstreams=[{**PAID, "daily_usd": "0"}], models=[{**MODEL, "upstreams": ["cloud:big"]}])
    refused = person.ask(max_tokens=1)
    assert refused.status_code == 503 and refused.json is not None
    assert "in a day" in refused.json["error"]["message"] and 0 < int(refused.headers["retry-after"]) <= 86_400
    assert spent() == 0


@pytest.mark.parametrize(("path", "status"), [("embeddings", 200), ("rerank", 503)])
def test_what_is_not_streamed_costs_what_was_counted_even_if_the_answer_is_none(
    person: Person, cloud: FakeUpstream, path: str, status: int
) -> None:
    cloud.capabilities = person.upstream.capabilities = ["embeddings", "rerank"]
    body = {"input": "Hi"} if path == "embeddings" else {"query": "a", "documents": ["b"]}
    answer = person.client.post(f"/v1/{path}", json={"model": "demo", **body}, headers=person.api_token)
    assert (answer.status_code, answer.headers["x-sluice-upstream"]) == (status, "cloud")
    assert spent() == 3 * 3


def test_the_store_away_at_the_reservation_asks_the_next_and_at_the_give_back_keeps_it(
    person: Person, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = stores.spend()

    def away(*_: Any) -> Reserved | None:
        raise StoreUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "reserve", away)
        assert person.ask(max_tokens=100).headers["x-sluice-upstream"] == "local"
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "give_back", away)
        assert person.ask(max_tokens=100).headers["x-sluice-upstream"] == "cloud"
    assert spent() > 100 * 7 > COST


def test_a_caller_who_leaves_before_the_end_costs_the_day_all_that_was_reserved(
    person: Person, cloud: FakeUpstream
) -> None:
    answer = person.ask(max_tokens=100, stream=True)
    next(answer.iter_encoded())
    answer.close()
    (row,) = person.log()
    assert (row["status"], row["finish_reason"]) == (499, "cancelled")
    record = stores.ledger_reader().get(person.account_id, row["id"])
    assert record is not None and record.upstream_micro_usd == spent() > 100 * 7


def test_a_prompt_of_more_tokens_than_were_estimated_costs_the_day_what_its_server_counted(
    person: Person, cloud: FakeUpstream
) -> None:
    cloud.context_window = person.upstream.context_window = 100_000
    cloud.steps = (*ANSWER[:-1], usage_chunk(40_000, 2))
    apply(upstreams=[{**PAID, "daily_usd": "1.00"}, HOME], models=[MODEL])
    said = [{"role": "user", "content": "x" * 48_000}]  # more than fits by bytes, so half of it is reserved
    assert person.ask(messages=said, max_tokens=100).headers["x-sluice-upstream"] == "cloud"
    assert person.log()[0]["prompt_tokens"] < 30_000 and spent() == 40_000 * 3 + 2 * 7
    apply(upstreams=[{**PAID, "daily_usd": "0.25"}, HOME], models=[MODEL])
    assert person.ask(messages=said, max_tokens=100).status_code != 200, "48,000 tokens could cost more than is left"
    assert spent() == 40_000 * 3 + 2 * 7 and len(cloud.calls) == 1


def test_a_price_that_changes_meanwhile_is_that_of_later_requests(person: Person, cloud: FakeUpstream) -> None:
    dearer: Callable[[], None] = lambda: apply(  # noqa: E731
        upstreams=[{**PAID, "prompt_usd": "9.00"}, HOME], models=[MODEL]
    )
    cloud.steps = (dearer, *ANSWER)
    assert person.ask(max_tokens=100).status_code == 200
    assert spent() == COST
    cloud.steps = ANSWER
    assert person.ask(max_tokens=100).status_code == 200
    assert spent() == COST + 10 * 9 + 2 * 7


def test_ledger_log_and_sums_say_who_answered_and_what_it_may_have_cost(
    person: Person, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncounted(call: UpstreamCall) -> FakeStream:
        stream = FakeStream(ANSWER[:-1])
        stream.estimated = True
        return stream

    monkeypatch.setattr(cloud, "open", uncounted)
    assert person.ask(max_tokens=100).status_code == 200
    (row,) = person.log()
    assert (row["upstream"], row["estimated"]) == ("cloud", True)
    assert "upstream_micro_usd" not in row, "what the owner pays is not the caller's to know"
    record = stores.ledger_reader().get(person.account_id, row["id"])
    assert record is not None and record.upstream_micro_usd == spent() == amounts_of(record).upstream_micro_usd
    assert COST < spent() < 100 * 7
