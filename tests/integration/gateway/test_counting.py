"""Counting before admission: by bytes where they fit, by the model server's count where they do not."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sluice import settings
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.errors import ContextLengthExceeded, UpstreamTimeout
from sluice.domain.settings.versions import settings_of
from sluice.ports.gateway import UpstreamCall
from sluice.services.gateway.request import COUNT_PATH
from sluice.services.operations.admin import Actor
from sluice.wiring.gateway import gateway
from sluice.wiring.settings import owners_terms
from tests.fakes.upstream import FakeClock
from tests.integration.gateway.conftest import ANSWER, Person
from tests.integration.gateway.test_refusals import limit

PROMPT = "It was a bright cold day in April. " * 1372  # 48,020 bytes
TOOL = {"name": "look_up", "description": "x" * 100, "parameters": {"type": "object", "properties": {}}}
SAID = [{"role": "user", "content": PROMPT}]


@pytest.fixture
def agent(person: Person) -> Person:
    """An account of 40,000 tokens a minute; the model has a context of 128k, and 12,000 tokens are in the prompt."""
    person.upstream.context_window, person.upstream.counted = 131_072, 12_000
    person.body["messages"] = SAID
    return person


def asked(person: Person, path: str) -> list[UpstreamCall]:
    return [call for call in person.upstream.calls if call.path == path]


def counts(person: Person) -> int:
    return len(asked(person, COUNT_PATH))


def answer_tokens(person: Person) -> int:
    return int(person.upstream.calls[-1].body["max_tokens"])


def test_an_agents_prompt_of_48_kb_passes_at_40_000_tokens_a_minute(agent: Person) -> None:
    answers = [
        agent.ask() for _ in range(3)
    ]  # FIELD: by its bytes the first could never fit, and of two one had to wait
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert counts(agent) == 3
    assert agent.grant().period_tokens == 3 * 12  # what the answers used; the reservations are given back
    assert agent.ask(stream=True).status_code == 200


def test_the_reservation_is_the_count_and_the_answer(agent: Person) -> None:
    agent.script(lambda: seen.append(next(iter(agent.grant().leases.values())).reserved_tokens))
    seen: list[int] = []
    agent.ask(max_tokens=1000)
    assert seen == [12_000 + 48 + 1000]
    agent.upstream.counted = 3_000
    agent.ask(n=4, max_tokens=1000)
    assert seen[1] == 3_000 + 4 * (48 + 1000)
    agent.ask(max_tokens=1000, response_format=_checked_schema())
    assert seen[2] == 3_000 + 1048 + (3_000 + 1024) + 1048  # a second try has its own prompt and answer


def _checked_schema() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 1}
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


@pytest.mark.parametrize(
    ("path", "body", "counted"),
    [
        ("/v1/chat/completions", {"messages": SAID, "tools": [{"type": "function", "function": TOOL}]}, "messages"),
        ("/v1/chat/completions", {"messages": SAID, "functions": [TOOL]}, "messages"),
        ("/v1/responses", {"input": PROMPT, "tools": [{"type": "function", **TOOL}]}, "messages"),
        (
            "/v1/messages",
            {
                "messages": SAID,
                "max_tokens": 32_000,
                "tools": [{"name": "look_up", "input_schema": TOOL["parameters"]}],
            },
            "messages",
        ),
        ("/v1/completions", {"prompt": PROMPT}, "prompt"),
        ("/v1/completions", {"prompt": [PROMPT[:24_000], PROMPT[24_000:]], "suffix": "."}, "prompt"),
    ],
)
def test_every_dialect_is_counted_with_its_tools(agent: Person, path: str, body: dict[str, Any], counted: str) -> None:
    agent.upstream.counted = 8_000
    answer = agent.client.post(path, json={"model": "demo", **body}, headers=agent.api_token)
    assert answer.status_code == 200, answer.json
    (call,) = asked(agent, COUNT_PATH)
    assert PROMPT[:24_000] in str(call.body[counted])
    assert ("look_up" in str(call.body.get("tools"))) == ("tools" in body or "functions" in body)


def test_a_clients_default_of_32_000_tokens_is_capped_by_what_fits_without_a_count(person: Person) -> None:
    person.upstream.context_window = 65_536
    person.body["messages"] = [{"role": "user", "content": "x" * 10_000}]
    assert person.ask(max_tokens=32_000).status_code == 200
    assert answer_tokens(person) == 40_000 - 10_000 - 8 - 48  # the limit, less the bytes and what a template adds
    assert counts(person) == 0
    assert person.ask(max_tokens=100_000_000).status_code == 200


def test_what_other_requests_hold_is_left_to_them(agent: Person, still: FakeClock) -> None:
    agent.upstream.counted = 2_000
    held: list[int] = []

    def beside() -> None:
        agent.script(*ANSWER)
        held.append(agent.ask(max_tokens=32_000).status_code)
        held.append(answer_tokens(agent))

    agent.script(beside, *ANSWER)
    assert agent.ask(max_tokens=20_000).status_code == 200
    room = 40_000 - (2_000 + 48 + 20_000)
    assert held[0] == 200
    assert held[1] == room - 2_048


def test_no_answer_is_cut_below_an_eighth_of_the_limit_for_want_of_patience(agent: Person, still: FakeClock) -> None:
    agent.upstream.counted = 1_000
    refused: list[Any] = []

    def beside() -> None:
        agent.script()
        refused.append(agent.ask(max_tokens=32_000))

    agent.script(beside)
    agent.ask(max_tokens=34_000)
    (answer,) = refused
    assert (answer.status_code, answer.json["error"]["code"]) == (429, "rate_limit_exceeded")
    # 1,000 + 48 + 5,000 are wanted, and 40,000 - 35,048 are left: a wait for 1,096 tokens
    assert answer.headers["retry-after"] == "2"


def test_nothing_is_counted_where_bytes_fit(person: Person) -> None:
    for _ in range(5):
        assert person.ask(max_tokens=512).status_code == 200
    assert person.ask(stream=True).status_code == 200
    assert counts(person) == 0


def test_what_could_never_fit_is_refused_and_charged_as_a_request(agent: Person, still: FakeClock) -> None:
    agent.upstream.counted = 45_000
    answer = agent.ask()
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "max_tokens")  # type: ignore[index]
    assert "45049 tokens" in answer.json["error"]["message"]  # type: ignore[index]
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    assert agent.log() == [] and agent.grant().leases == {}
    assert [call.path for call in agent.upstream.calls] == [COUNT_PATH]


def test_a_prompt_that_the_model_server_calls_too_long_is_refused_before_admission(
    agent: Person, still: FakeClock
) -> None:
    agent.upstream.count = _raising(ContextLengthExceeded("too long", "messages"))  # type: ignore[method-assign]
    answer = agent.ask()
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "context_length_exceeded")  # type: ignore[index]
    assert (agent.log(), agent.grant().leases) == ([], {})
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"


def test_a_server_that_cannot_count_is_estimated_by_the_owners_bytes_per_token(agent: Person) -> None:
    held: list[int] = []
    agent.upstream.count = lambda call: None  # type: ignore[method-assign,assignment,return-value]
    agent.script(lambda: held.extend(lease.reserved_tokens for lease in agent.grant().leases.values()), *ANSWER)
    assert agent.ask().status_code == 200
    server = {"name": "a", "kind": "openai", "url": settings.gateway().inference_url, "bytes_per_token": 3}
    wanted = settings_of(json.dumps({"upstreams": [server]}))
    owners_terms().change(Actor(OPERATOR), 0, wanted, 1)
    assert agent.ask().status_code == 200
    assert [round(tokens, -3) for tokens in held] == [25_000, 17_000]  # 48,000 bytes and an answer


def _raising(error: Exception) -> Callable[..., int]:
    def count(call: UpstreamCall) -> int:
        raise error

    return count


@pytest.mark.parametrize("error", [None, UpstreamTimeout()])
def test_without_its_model_server_a_request_that_needs_a_count_gets_503(agent: Person, error: Exception | None) -> None:
    agent.ask()
    if error:
        agent.upstream.count = _raising(error)  # type: ignore[method-assign]
    agent.upstream.down = True
    answer = agent.ask()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert len(agent.log()) == 1 and agent.grant().leases == {}
    agent.call("DELETE", f"/tokens/{agent.token_id}")
    assert agent.ask().status_code == 401  # authentication errors take precedence


@pytest.mark.parametrize("count", [0, -5, 10**9])
def test_a_senseless_count_is_no_count(agent: Person, count: int) -> None:
    agent.upstream.counted = count
    assert agent.ask().status_code == 400


def test_a_revoked_token_has_nothing_counted_but_what_this_process_could_not_know(agent: Person) -> None:
    agent.ask()
    agent.call("DELETE", f"/tokens/{agent.token_id}")
    before = counts(agent)
    assert [agent.ask().status_code for _ in range(5)] == [401] * 5
    assert counts(agent) == before + 1  # the first; then the grant is known


def test_a_flood_is_counted_no_more_often_than_the_requests_a_minute(agent: Person, still: FakeClock) -> None:
    limit(agent, rpm=6)
    statuses: list[int] = []

    def beside() -> None:
        agent.script()
        statuses.extend(agent.ask(max_tokens=1_000).status_code for _ in range(25))

    agent.script(beside)
    agent.ask(max_tokens=24_000)  # leaves less than the count of the next, and more than they may turn out to have
    assert statuses == [429] * 25
    assert counts(agent) - 1 == 5  # six a minute, of which this took one


def test_of_many_at_once_no_more_are_counted_than_may_run(agent: Person) -> None:
    agent.ask(max_tokens=1)  # this process knows the grant
    running, most, lock = [0], [0], threading.Lock()
    meet = threading.Event()

    def slow(call: UpstreamCall, bytes_a_token: int = 4) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        meet.wait(0.3)
        with lock:
            running[0] -= 1
        return 12_000

    agent.upstream.count = slow  # type: ignore[method-assign]

    def one(_: int) -> int:
        return replace(agent, client=agent.client.application.test_client(use_cookies=False)).ask().status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(one, range(16)))
    assert set(statuses) <= {200, 429} and 200 in statuses
    assert 1 <= most[0] <= 4  # the account's concurrency
    assert gateway().counts._running == {}
    assert agent.grant().leases == {}


def test_another_servers_model_gets_an_answer_that_fits_its_context(agent: Person) -> None:
    agent.upstream.owner, agent.upstream.context_window, agent.upstream.counted = "vllm", 32_768, 9_000
    agent.body["messages"] = [{"role": "user", "content": "x" * 20_000}]
    assert agent.ask(max_tokens=16_000).status_code == 200  # by bytes, prompt and answer exceed the context
    assert (counts(agent), answer_tokens(agent)) == (1, 16_000)
    assert agent.ask(max_tokens=32_000).status_code == 200
    assert answer_tokens(agent) == 32_768 - 9_000 - 48


def test_a_count_for_the_context_that_fails_settles_the_request(agent: Person) -> None:
    agent.upstream.owner, agent.upstream.context_window = "vllm", 32_768
    agent.upstream.count = _raising(UpstreamTimeout())  # type: ignore[method-assign]
    agent.body["messages"] = [{"role": "user", "content": "x" * 20_000}]
    assert agent.ask(max_tokens=16_000).status_code == 503
    assert [record["status"] for record in agent.log()] == [503]
    assert agent.grant().leases == {}
