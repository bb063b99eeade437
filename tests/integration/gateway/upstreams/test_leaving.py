"""Nothing of a local-only request reaches a server that leaves home; a server that fails is left alone for a while."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice import settings
from sluice.domain.documents.nearness import EmbeddingModel
from sluice.domain.errors import Forbidden
from sluice.services.gateway.circuit import FAILURES, PAUSE_SECONDS, WITHIN_SECONDS
from sluice.wiring import documents, upstreams
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import REQUESTS, apply
from tests.integration.gateway.test_refusals import limit
from tests.integration.gateway.upstreams.conftest import Ask, Servers
from tests.integration.gateway.upstreams.scripted import PARIS, stream, whole

LONG = [{"role": "user", "content": "It was a bright cold day in April. " * 1_000}]
MARKS = ("header", "token", "both")


def mark(caller: Person, how: str) -> dict[str, str]:
    """Makes the caller local-only. → the headers to send."""
    if how != "header":
        wanted = {"name": "x", "local_only": True, "scopes": ["inference", "embeddings"]}
        issued: Any = caller.call("POST", "/tokens", json=wanted).json
        caller.api_token["Authorization"] = f"Bearer {issued['token']}"
    return {} if how == "token" else {"x-sluice-local-only": "true"}


def post(caller: Person, path: str, headers: dict[str, str], **fields: Any) -> Any:
    asked = {**REQUESTS.get(path, {}), "model": "assistant", **fields}
    return caller.client.post(path, json=asked, headers={**caller.api_token, **headers})


@pytest.mark.parametrize("how", MARKS)
@pytest.mark.parametrize("path", sorted(REQUESTS))
def test_a_local_only_request_reaches_no_server_that_leaves_home(
    how: str, path: str, servers: Servers, caller: Person
) -> None:
    apply(**servers.tables(leaves_home=True))
    assert post(caller, path, {}).status_code == 200 and len(servers.first.asked) == 1, "unmarked, it goes there"
    servers.first.asked.clear()
    servers.second.script = (whole("503 Service Unavailable", {}),)
    headers = mark(caller, how)
    for streamed in (False, True):
        assert post(caller, path, headers, stream=streamed).status_code == 503, "not even where the one at home is away"
        assert post(caller, path, headers, stream=streamed, model="lonely").status_code == 403
    assert servers.first.asked == [] and len(servers.second.asked) == 2


def test_no_text_of_a_document_leaves_home(servers: Servers, caller: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the owner names: a document does not say whether its owner's API token was local-only."""
    apply(**servers.tables(leaves_home=True))
    monkeypatch.setenv("SLUICE_EMBEDDING_MODEL", "lonely")
    settings.documents.cache_clear()
    documents.embed.cache_clear()
    embed = documents.embed()
    assert embed is not None and embed.question(caller.account_id, "Who is ill?") is None
    with pytest.raises(Forbidden):
        embed.server.vectors(caller.account_id, EmbeddingModel("lonely"), ["Ada is ill."], "passage")
    assert servers.first.asked == []
    settings.documents.cache_clear()
    documents.embed.cache_clear()


@pytest.mark.parametrize("how", MARKS)
def test_the_same_holds_for_vectors_and_for_counts(how: str, servers: Servers, caller: Person) -> None:
    apply(**servers.tables(leaves_home=True))
    headers = mark(caller, how)
    post(caller, "/v1/embeddings", headers, input="Hi")
    post(caller, "/v1/messages/count_tokens", headers, messages=LONG, max_tokens=5)
    assert servers.first.asked == []


@pytest.mark.parametrize("how", MARKS)
def test_the_same_holds_for_a_model_that_names_no_servers(how: str, servers: Servers, caller: Person) -> None:
    tables = servers.tables(leaves_home=True, models=["plain", "away"])["upstreams"]
    apply(upstreams=[tables[0], {**tables[1], "models": ["plain"]}])
    assert post(caller, "/v1/messages", {}, model="plain").status_code == 200 and len(servers.first.asked) == 1
    servers.first.asked.clear()
    headers = mark(caller, how)
    assert post(caller, "/v1/messages", headers, model="plain").status_code == 200
    assert post(caller, "/v1/messages", headers, model="away").status_code == 403
    listed = caller.client.get("/v1/models", headers={**caller.api_token, **headers}).json
    assert listed is not None and [one["id"] for one in listed["data"]] == ["plain"]
    assert servers.first.asked == [] and len(servers.second.asked) == 1


@pytest.mark.parametrize("marked", [False, True], ids=["unmarked", "marked"])
def test_no_text_leaves_home_to_be_counted(marked: bool, servers: Servers, caller: Person) -> None:
    apply(**servers.tables(leaves_home=True))
    limit(caller, tpm=20_000)  # the prompt has 35,000 bytes
    servers.second.by_path["/v1/tokenize"] = servers.second.by_path["/tokenize"] = (whole("200 OK", {"count": 9_000}),)
    servers.second.script = (stream(*PARIS),)
    headers = {"x-sluice-local-only": "true"} if marked else {}
    assert post(caller, "/v1/chat/completions", headers, messages=LONG).status_code == 200
    assert [one.path for one in servers.first.asked] == ([] if marked else ["/v1/chat/completions"])
    assert ("/tokenize" in [one.path for one in servers.second.asked]) is marked


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(caller: Person, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of the circuit of `first`."""
    made = Clock()
    monkeypatch.setattr(upstreams.routes().servers["first"].circuit, "_monotonic", made)
    return made


def fail(servers: Servers, ask: Ask, times: int) -> None:
    servers.first.script = (whole("500 Internal Server Error", {}),)
    for _ in range(times):
        assert ask().record.upstream == "second"


def test_five_failures_leave_a_server_alone_until_one_request_finds_it_again(
    servers: Servers, caller: Person, ask: Ask, clock: Clock
) -> None:
    fail(servers, ask, FAILURES)
    assert len(servers.first.asked) == FAILURES
    clock.now += PAUSE_SECONDS - 0.1
    fail(servers, ask, 2)
    assert len(servers.first.asked) == FAILURES, "it is left alone"
    clock.now += 0.1
    fail(servers, ask, 3)
    assert len(servers.first.asked) == FAILURES + 1, "one asks, in vain"
    clock.now += PAUSE_SECONDS
    answer = threading.Event()
    servers.first.script = (answer, stream(*PARIS))
    with ThreadPoolExecutor(4) as pool:
        asking = pool.submit(caller.ask, model="assistant")
        while len(servers.first.asked) < FAILURES + 2:
            assert not asking.done()
        meanwhile = list(pool.map(lambda _: caller.ask(model="assistant").headers["x-sluice-upstream"], range(3)))
        answer.set()
        assert asking.result().headers["x-sluice-upstream"] == "first"
    assert meanwhile == ["second"] * 3
    assert ask().record.upstream == "first"


def test_failures_far_apart_and_a_busy_server_leave_it_in_use(servers: Servers, ask: Ask, clock: Clock) -> None:
    fail(servers, ask, FAILURES - 1)
    clock.now += WITHIN_SECONDS + 1
    fail(servers, ask, 2)
    assert len(servers.first.asked) == FAILURES + 1
    clock.now += WITHIN_SECONDS + 1
    servers.first.script = (whole("429 Too Many Requests", {}),)
    for _ in range(FAILURES + 1):
        assert ask().record.upstream == "second"
    assert len(servers.first.asked) == 2 * FAILURES + 2


def test_a_models_only_server_is_always_asked(servers: Servers, ask: Ask, clock: Clock) -> None:
    servers.first.script = (whole("500 Internal Server Error", {}),)
    for _ in range(FAILURES + 1):
        assert ask(model="lonely").status == 503
    assert len(servers.first.asked) == FAILURES + 1
    servers.first.script = (stream(*PARIS),)
    assert ask(model="lonely").status == 200


def test_answers_that_break_off_count_as_failures(servers: Servers, ask: Ask, clock: Clock) -> None:
    servers.first.script = (stream(PARIS[0], done=b""),)
    for _ in range(FAILURES):
        assert ask().status == 503
    assert ask().record.upstream == "second"


def test_when_all_are_left_alone_the_caller_is_told_for_how_long(servers: Servers, ask: Ask, clock: Clock) -> None:
    servers.second.script = (whole("500 Internal Server Error", {}),)
    servers.first.script = (whole("500 Internal Server Error", {}),)
    for _ in range(FAILURES):
        assert ask().status == 503
    outcome = ask()
    assert outcome.status == 503 and 1 <= int(outcome.headers["Retry-After"]) <= PAUSE_SECONDS
    assert json.loads(outcome.body)["error"]["code"] == "model_unavailable"
    assert len(servers.first.asked) == len(servers.second.asked) == FAILURES
