"""`Prefer: wait=N` over HTTP: a real gunicorn, a real store, and an engine whose places the test frees one by one."""

import http.client
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sluice.adapters.tokens.keys import ensure_keys
from tests import gateway_process
from tests.integration.gateway.admission.world import Account, Engine, running_engine
from tests.integration.gateway.full_engine import FullEngine
from tests.waiting import eventually

LIMITS = {"rpm": 100_000, "tpm": 100_000_000, "concurrency": 1, "monthly_tokens": 1_000_000_000}
COMMENT = re.compile(rb"^: queue (\d+) of (\d+), about (\d+) s$", re.M)
HELLO = [{"role": "user", "content": "Capital of France?"}]
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": HELLO}),
    "completions": ("/v1/completions", {"prompt": "Paris is"}),
    "messages": ("/v1/messages", {"messages": HELLO, "max_tokens": 20}),
    "responses": ("/v1/responses", {"input": "Capital of France?", "store": False}),
    "embeddings": ("/v1/embeddings", {"input": "Paris"}),
    "rerank": ("/v1/rerank", {"query": "Paris", "documents": ["Rome"]}),
}
STREAMED = ["chat", "messages", "responses"]
SHORT = "wait=4"  # long enough to be refused and to begin to wait on a slow machine


@pytest.fixture(scope="module")
def store() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def running_model() -> Iterator[FullEngine]:
    engine = FullEngine()
    yield engine
    engine.stop()


@pytest.fixture
def model(running_model: FullEngine) -> Iterator[FullEngine]:
    """With one place."""
    running_model.reset(1)
    yield running_model
    running_model.reset(1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gateway")
    ensure_keys(made)
    return made


@pytest.fixture(scope="module")
def port(store: Engine, running_model: FullEngine, data_dir: Path) -> Iterator[int]:
    with gateway_process.running(store.url, data_dir, running_model.url) as (number, _):
        yield number


@dataclass
class Sent:
    """A request on its own connection. `answer` reads on until its end."""

    connection: http.client.HTTPConnection
    read: bytes = b""
    response: http.client.HTTPResponse | None = None

    def begins(self) -> http.client.HTTPResponse:
        if self.response is None:
            self.response = self.connection.getresponse()
        return self.response

    def until(self, pattern: bytes) -> bytes:
        while not re.search(pattern, self.read, re.M):
            more = self.begins().read1()
            assert more, self.read
            self.read += more
        return self.read

    def close(self) -> None:
        if self.response is not None:
            self.response.close()
        self.connection.close()

    def answer(self) -> "Answer":
        response = self.begins()
        body = self.read + response.read()
        self.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any = field(init=False)

    def __post_init__(self) -> None:
        self.json = json.loads(self.body) if self.headers["content-type"] == "application/json" else None

    @property
    def queue(self) -> tuple[str | None, str | None, str | None]:
        names = ("preference-applied", "x-sluice-queue-place", "x-sluice-queue-seconds")
        return tuple(self.headers.get(name) for name in names)  # type: ignore[return-value]


class Caller:
    """An account and its API token."""

    def __init__(self, store: Engine, port: int, data_dir: Path, all_sent: list["Sent"], **limits: int) -> None:
        self.port, self._all_sent = port, all_sent
        self.account = Account(store, {**LIMITS, **limits}, token_id="tok_" + secrets.token_hex(8))
        live = {self.account.token_id: int(time.time()) + 3600}
        self.account.write(live=live, period=int(time.strftime("%Y%m", time.gmtime())))
        names = (self.account.id, self.account.token_id, "inference", "embeddings")
        self.bearer = gateway_process.api_token(data_dir, *names)

    def send(self, route: str = "chat", *, wait: str | None = "wait=60", **more: Any) -> Sent:
        path, body = ROUTES[route]
        headers = {"authorization": f"Bearer {self.bearer}", "content-type": "application/json"}
        if wait is not None:
            headers["prefer"] = wait
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", path, json.dumps({"model": "demo", **body, **more}), headers)
        self._all_sent.append(Sent(connection))
        return self._all_sent[-1]

    def leases(self) -> int:
        return len(self.account.grant().leases)

    def settled(self) -> None:
        eventually(lambda: self.leases() == 0)


class Callers:
    def __init__(self, store: Engine, port: int, data_dir: Path, model: FullEngine) -> None:
        self.sent: list[Sent] = []
        self._world, self.data_dir, self.model = (store, port, data_dir, self.sent), data_dir, model

    def __call__(self, **limits: int) -> Caller:
        return Caller(*self._world, **limits)

    def close(self) -> None:
        """End every connection, and what runs or waits on it."""
        self.model.let_all_go()
        for one in self.sent:
            one.close()

    def occupied(self, caller: Caller, count: int = 1) -> list[Sent]:
        """Requests that run, so many that the caller or the model has no more room."""
        before = len(self.model.began)
        sent = [caller.send(wait=None) for _ in range(count)]
        eventually(lambda: len(self.model.began) == before + count, 60)
        return sent

    def wait(self, count: int) -> None:
        """Until so many wait."""
        eventually(lambda: gateway_process.measured(self.data_dir, "sluice_waiting_requests") == count, 60)


@pytest.fixture
def callers(store: Engine, port: int, data_dir: Path, model: FullEngine) -> Iterator[Callers]:
    made = Callers(store, port, data_dir, model)
    yield made
    made.close()
    made.wait(0)


@pytest.fixture
def more(store: Engine, data_dir: Path, model: FullEngine) -> Iterator[Callable[[int], Callers]]:
    """Callers of another gateway."""
    made: list[Callers] = []

    def of(port: int) -> Callers:
        made.append(Callers(store, port, data_dir, model))
        return made[-1]

    yield of
    for one in made:
        one.close()


More = Callable[[int], Callers]


def waiting(sent: Sent) -> tuple[int, int, int]:
    """What the first comment says: place, of how many, seconds."""
    found = COMMENT.search(sent.until(rb": queue .+ s\n"))
    assert found is not None
    return int(found[1]), int(found[2]), int(found[3])


# --- concurrency: 429


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_a_request_that_is_not_streamed_waits_and_gets_its_true_status(callers: Callers, route: str) -> None:
    caller = callers()
    callers.model.places = 2
    (first,) = callers.occupied(caller)
    refused = caller.send(route, wait=None).answer()
    assert refused.status == 429
    assert refused.queue == (None, None, None)
    second = caller.send(route)
    callers.wait(1)
    callers.model.let_go()
    assert first.answer().status == 200
    eventually(lambda: len(callers.model.began) == 2)
    callers.model.let_go()
    answer = second.answer()
    assert answer.status == 200
    assert answer.queue[:2] == ("wait=60", "1")
    assert int(answer.queue[2] or 0) >= 1
    caller.settled()
    assert [record.status for record in caller.account.records()] == [200, 200]


@pytest.mark.parametrize("route", STREAMED)
def test_a_stream_that_waits_begins_at_once_and_says_its_place(callers: Callers, route: str) -> None:
    caller = callers()
    callers.occupied(caller)
    second = caller.send(route, stream=True)
    assert second.begins().status == 200
    assert waiting(second)[:2] == (1, 1)
    third = caller.send(route, stream=True)
    assert waiting(third)[:2] == (2, 2)
    assert caller.leases() == 1  # of the one that runs
    callers.model.let_go()
    third.until(rb"^: queue 1 of 1, ")
    callers.model.let_all_go()
    for sent in (second, third):
        answer = sent.answer()
        assert answer.queue[0] == "wait=60"
        assert b"Paris" in answer.body or (b"Pa" in answer.body and b"ris" in answer.body)
        assert b"error" not in answer.body.replace(b'"error":null', b"")
        assert answer.body.startswith(b": queue ")
    caller.settled()
    assert sorted(record.status for record in caller.account.records()) == [200, 200, 200]


@pytest.mark.parametrize("stream", [False, True])
def test_who_need_not_wait_gets_the_usual_answer(callers: Callers, stream: bool) -> None:
    callers.model.let_all_go()
    answer = callers().send(stream=stream).answer()
    assert answer.status == 200
    assert answer.queue == ("wait=60", None, None)
    assert b": queue" not in answer.body


@pytest.mark.parametrize("wait", [None, "wait=0", "wait=x", "respond-async", "wait"])
def test_who_does_not_ask_to_wait_does_not(callers: Callers, wait: str | None) -> None:
    caller = callers()
    callers.occupied(caller)
    answer = caller.send(wait=wait).answer()
    assert (answer.status, answer.queue) == (429, (None, None, None))


def test_the_longest_wait_is_a_minute(callers: Callers) -> None:
    callers.model.let_all_go()
    assert callers().send(wait='x="a,wait=1" , WAIT = "3600"; y').answer().queue[0] == "wait=60"


REFUSALS = {
    "chat": b'data: {"error":{"message":"This account has as many requests running as it may have.",'
    b'"type":"rate_limit_error","param":null,"code":"too_many_concurrent_requests"}}\n\n',
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error",',
    "responses": b"event: response.failed\ndata: ",
}


@pytest.mark.parametrize("route", STREAMED)
def test_a_stream_whose_time_is_over_ends_with_an_error_event_of_its_dialect(callers: Callers, route: str) -> None:
    caller = callers()
    (first,) = callers.occupied(caller)
    answer = caller.send(route, wait=SHORT, stream=True).answer()
    assert answer.status == 200
    assert REFUSALS[route] in answer.body
    assert answer.body.count(b"data: ") == answer.body.count(b"\n\n")
    assert b"[DONE]" not in answer.body
    callers.model.let_go()
    assert first.answer().status == 200
    caller.settled()
    assert len(caller.account.records()) == 1


def test_a_request_whose_time_is_over_gets_the_plain_refusal(callers: Callers) -> None:
    caller = callers()
    callers.occupied(caller)
    answer = caller.send(wait=SHORT).answer()
    assert (answer.status, answer.json["error"]["code"]) == (429, "too_many_concurrent_requests")
    assert answer.queue[:2] == (SHORT, "1")
    assert answer.headers["retry-after"] == "1"


# --- a full engine: 503


@pytest.mark.parametrize(("route", "status"), [("chat", 503), ("embeddings", 503), ("messages", 529)])
def test_a_full_engine_is_waited_for_without_a_charge_or_a_record(callers: Callers, route: str, status: int) -> None:
    """The engine is asked again and again, each time by an admission that is taken back."""
    busy, caller = callers(), callers(concurrency=5, rpm=2)
    callers.occupied(busy)
    assert caller.send(route, wait="wait=1").answer().status == status
    refused = callers.model.refused
    sent = caller.send(route, wait="wait=60")
    eventually(lambda: callers.model.refused >= refused + 3)
    eventually(lambda: caller.leases() == 0)
    callers.model.let_all_go()
    assert sent.answer().status == 200
    caller.settled()
    (record,) = caller.account.records()
    assert (record.status, caller.account.grant().period_tokens) == (200, record.total_tokens)
    assert caller.send(route, wait=None).answer().status == 200  # the second of its two requests a minute
    assert caller.send(route, wait="wait=5").answer().status == 429  # which is not waited for


def test_a_full_engine_without_a_wish_to_wait_is_recorded_as_before(callers: Callers) -> None:
    busy, caller = callers(), callers()
    callers.occupied(busy)
    answer = caller.send(wait=None).answer()
    assert (answer.status, answer.queue) == (503, (None, None, None))
    caller.settled()
    assert [record.status for record in caller.account.records()] == [503]


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_engine_refuses_after_it_accepted_it_waits_too(callers: Callers, stream: bool) -> None:
    """Sluice's engine accepts a request into its own queue and refuses it when it has waited there too long."""
    callers.model.let_waits = 2
    caller = callers()
    callers.model.let_all_go()
    answer = caller.send(stream=stream).answer()
    assert answer.status == 200
    assert b"overloaded" not in answer.body
    caller.settled()
    (record,) = caller.account.records()
    assert record.status == 200


def test_a_full_engine_has_its_own_error_event_at_the_end(callers: Callers) -> None:
    callers.occupied(callers())
    answer = callers().send("messages", wait=SHORT, stream=True).answer()
    assert answer.status == 200
    assert b'"type":"overloaded_error"' in answer.body


# --- what is not waited for


def test_requests_a_minute_are_not_waited_for(callers: Callers) -> None:
    caller = callers(rpm=1, concurrency=5)
    callers.model.let_all_go()
    assert caller.send().answer().status == 200
    answer = caller.send().answer()
    assert (answer.status, answer.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert answer.queue == (None, None, None)


def test_a_minute_that_is_used_up_at_its_turn_is_told_then(callers: Callers) -> None:
    caller = callers(rpm=1)
    callers.occupied(caller)
    whole, stream = caller.send(wait="wait=20"), caller.send(wait="wait=20", stream=True)
    # Both are refused for the rate at once, because admission tells the longest wait.
    assert whole.answer().status == 429
    assert stream.answer().status == 429


# --- leaving


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_is_gone_within_moments_and_costs_nothing(callers: Callers, stream: bool) -> None:
    caller = callers()
    (first,) = callers.occupied(caller)
    leaver = caller.send(stream=stream)
    callers.wait(1)
    watcher = caller.send(stream=True)
    assert waiting(watcher)[:2] == (2, 2)
    leaver.close()
    watcher.until(rb"^: queue 1 of 1, ")
    callers.model.let_all_go()
    assert first.answer().status == 200
    assert watcher.answer().status == 200
    caller.settled()
    assert len(caller.account.records()) == 2


def test_a_revoked_api_token_is_refused_while_it_waits(callers: Callers) -> None:
    caller = callers()
    callers.occupied(caller)
    whole, stream = caller.send(), caller.send(stream=True)
    waiting(stream)
    callers.wait(2)
    caller.account.item = caller.account.raw()
    caller.account.write(live={"M": {}})
    assert whole.answer().status == 401
    assert b'"code":"invalid_api_key"' in stream.answer().body
    late = caller.send(stream=True).answer()
    assert late.status == 401


# --- fairness and bounds


def test_one_request_is_delayed_by_at_most_one_of_200_of_another_account(callers: Callers) -> None:
    """The model has 4 places; the account with 200 waiting may use all of them."""
    callers.model.places = 4
    greedy, single = callers(concurrency=300), callers()
    callers.occupied(greedy, 4)
    many = [greedy.send(wait="wait=60") for _ in range(200)]
    probe = greedy.send(wait="wait=60", stream=True)
    probe.until(rb"^: queue 20\d of 20\d, |^: queue 19\d of ")
    one = single.send(wait="wait=60", stream=True)
    assert waiting(one)[0] == 2
    before = len(callers.model.began)
    callers.model.let_go()
    eventually(lambda: len(callers.model.began) == before + 1)
    callers.model.let_go()
    eventually(lambda: len(callers.model.began) == before + 2)
    assert single.account.id in callers.model.began[before : before + 2]
    callers.model.let_all_go()
    assert b"[DONE]" in one.answer().body
    assert [sent.answer().status for sent in many] == [200] * 200
    probe.answer()
    greedy.settled()
    assert len(greedy.account.records()) == 205


def test_an_account_is_answered_at_once_while_another_waits_for_its_own_limit(callers: Callers) -> None:
    callers.model.places = 2
    greedy, single = callers(), callers()
    callers.occupied(greedy)
    waiting(greedy.send(stream=True))
    answer = threading.Thread(target=single.send().answer)
    answer.start()
    eventually(lambda: single.account.id in callers.model.began)
    callers.model.let_all_go()
    answer.join()


def test_waiting_requests_are_bounded_and_take_no_place_of_others(
    store: Engine, data_dir: Path, model: FullEngine, more: More
) -> None:
    # A place for the one that runs, one for the other caller, and one for the first that waits, while it asks again.
    limits = {"SLUICE_V1_PLACES": "3", "SLUICE_V1_WAITING": "4"}
    with gateway_process.running(store.url, data_dir, model.url, **limits) as (port, _):
        model.places = 2
        callers = more(port)
        greedy, other = callers(), callers()
        callers.occupied(greedy)
        kept = []
        for place in (1, 2):  # one after the other, because each has a place while it asks
            kept.append(greedy.send(stream=True))
            assert waiting(kept[-1])[:2] == (place, place)
        refused = greedy.send().answer()
        assert (refused.status, refused.queue) == (429, (None, None, None))
        served = other.send(wait=None)
        eventually(lambda: other.account.id in model.began)
        model.let_all_go()
        assert served.answer().status == 200
        assert all(b"[DONE]" in sent.answer().body for sent in kept)


def test_a_setting_ends_all_waiting(store: Engine, data_dir: Path, model: FullEngine, more: More) -> None:
    with gateway_process.running(store.url, data_dir, model.url, SLUICE_V1_WAITING="0") as (port, _):
        callers = more(port)
        caller = callers()
        callers.occupied(caller)
        answer = caller.send().answer()
        assert (answer.status, answer.queue) == (429, (None, None, None))
        model.let_all_go()


def test_a_killed_gateway_leaves_nothing_of_those_that_waited(
    store: Engine, data_dir: Path, model: FullEngine, more: More, tmp_path: Path
) -> None:
    own = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}  # its numbers stay as they were
    with gateway_process.running(store.url, data_dir, model.url, **own) as (port, process):
        callers = more(port)
        busy, caller = callers(), callers(concurrency=5)
        callers.occupied(busy)
        sent = [caller.send(stream=True) for _ in range(20)]
        for one in sent:
            waiting(one)
        eventually(lambda: caller.leases() == 0)
        gateway_process.kill(process)
    grant = caller.account.grant()
    assert (grant.leases, grant.period_tokens, caller.account.records()) == ({}, 0, [])


# --- the official SDKs


def test_the_official_sdks_wait_without_noticing(callers: Callers) -> None:
    """Comments are no events, so streams begin late, and nothing else."""
    caller = callers()
    wish = {"Prefer": "wait=60"}
    root = f"http://127.0.0.1:{caller.port}"
    gpt = openai.OpenAI(base_url=root + "/v1", api_key=caller.bearer, max_retries=0)
    claude = anthropic.Anthropic(base_url=root, api_key=caller.bearer, max_retries=0)
    assert gpt.chat.completions and gpt.responses and claude.messages  # they import for seconds, before anyone waits
    callers.occupied(caller)

    def chat() -> str:
        stream = gpt.chat.completions.create(model="demo", messages=HELLO, stream=True, extra_headers=wish)  # type: ignore[call-overload]
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    def response() -> str:
        with gpt.responses.stream(model="demo", input="Capital?", store=False, extra_headers=wish) as stream:
            return stream.until_done().get_final_response().output_text

    def message() -> str:
        with claude.messages.stream(model="demo", messages=HELLO, max_tokens=20, extra_headers=wish) as stream:  # type: ignore[arg-type]
            return stream.get_final_text()

    def whole() -> str | None:
        answer = gpt.chat.completions.create(model="demo", messages=HELLO, extra_headers=wish)  # type: ignore[arg-type]
        return answer.choices[0].message.content

    with gpt, claude, ThreadPoolExecutor() as threads:
        answers = [threads.submit(ask) for ask in (chat, response, message, whole)]
        callers.wait(4)
        callers.model.let_all_go()
        assert [one.result() for one in answers] == ["Paris"] * 4
