"""`Idempotency-Key` over a real gunicorn and a slow engine: fifty at once, callers that time out, `kill -9` in
mid-answer. One record, and one answer for everybody."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from sluice.services.gateway.settle import settle_abandoned
from tests import gateway_process
from tests.chaos.slow_engine import SlowEngine
from tests.integration.gateway.admission.world import Account, Engine, running_engine
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long]
LIMITS = {"rpm": 100_000, "tpm": 100_000_000, "concurrency": 2, "monthly_tokens": 1_000_000_000}
AT_ONCE = 50
ID = "x-sluice-request-id"
HI = [{"role": "user", "content": "go on"}]
BODY: dict[str, Any] = {"model": "demo", "messages": HI, "max_tokens": 400}


@pytest.fixture(scope="module")
def store() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture
def model() -> Iterator[SlowEngine]:
    engine = SlowEngine(every_seconds=0.02, tokens=100)
    yield engine
    engine.stop()


@pytest.fixture
def account(store: Engine) -> Account:
    made = Account(store, LIMITS, token_id="tok_" + secrets.token_hex(8))
    made.write(live={made.token_id: int(time.time()) + 3600}, period=int(time.strftime("%Y%m", time.gmtime())))
    return made


@pytest.fixture
def headers(account: Account, data_dir: Path) -> dict[str, str]:
    bearer = gateway_process.api_token(data_dir, account.id, account.token_id, "inference")
    return {"Authorization": f"Bearer {bearer}", "Idempotency-Key": secrets.token_hex(8)}


def text_of(body: bytes) -> str:
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    return "".join(one["delta"].get("content", "") for event in events for one in json.loads(event)["choices"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_fifty_at_once_that_wait_are_charged_once_and_answered_alike(
    store: Engine, model: SlowEngine, data_dir: Path, account: Account, headers: dict[str, str], stream: bool
) -> None:
    with gateway_process.running(store.url, data_dir, model.url) as (port, _):

        def ask(_: int) -> requests.Response:
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            return requests.post(url, json={**BODY, "stream": stream}, headers={**headers, "Prefer": "wait=60"})

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(ask, range(AT_ONCE)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("x-sluice-idempotent-replay" in answer.headers for answer in answers) == AT_ONCE - 1
    (record,) = account.records()
    assert {answer.headers["x-sluice-request-id"] for answer in answers} == {record.request_id}
    assert record.completion_tokens == 100 and len(model.generations) == 1
    assert account.grant().leases == {} and account.grant().period_tokens == record.total_tokens


def test_an_sdk_that_times_out_and_retries_gets_the_answer_and_pays_once(
    store: Engine, model: SlowEngine, data_dir: Path, account: Account, headers: dict[str, str]
) -> None:
    key = {"Idempotency-Key": headers["Idempotency-Key"]}
    bearer = headers["Authorization"].removeprefix("Bearer ")
    model.every_seconds, model.tokens, sent = 0.0, 2, list[Any]()
    # The model answers when the SDK has given up its first attempt. Others may be too slow on a busy machine.
    model.holds = lambda generation, token: generation == 1 and len(sent) == 2
    client = openai.DefaultHttpxClient(event_hooks={"request": [sent.append]})
    with gateway_process.running(store.url, data_dir, model.url) as (port, _):
        url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key=bearer, timeout=2, max_retries=20, http_client=client) as sdk:
            sdk.with_options(timeout=60).chat.completions.create(**BODY, extra_headers={"Idempotency-Key": "warm"})
            answer = sdk.chat.completions.create(**BODY, extra_headers=key)
    assert len(sent) > 2 and answer.choices[0].message.content == "xxxx" * 2
    _, record = account.records()
    assert (record.status, record.completion_tokens) == (200, 2) and len(model.generations) == 2


def test_a_caller_that_goes_in_mid_stream_finds_the_whole_answer(
    store: Engine, model: SlowEngine, data_dir: Path, account: Account, headers: dict[str, str]
) -> None:
    refusal = threading.Event()
    model.holds = lambda generation, token: token == 50 and not refusal.is_set()
    with gateway_process.running(store.url, data_dir, model.url) as (port, _):
        url, body = f"http://127.0.0.1:{port}/v1/chat/completions", {**BODY, "stream": True}
        cut = requests.post(url, json=body, headers=headers, stream=True)
        begun = cut.raw.read(500, decode_content=True)
        cut.close()
        refused = requests.post(url, json=body, headers=headers)
        assert refused.status_code == 409 and refused.headers["retry-after"] == "1"
        refusal.set()
        again = requests.post(url, json=body, headers={**headers, "Prefer": "wait=30"})
    assert again.status_code == 200 and again.content.startswith(begun)
    assert text_of(again.content) == "xxxx" * 100
    (record,) = account.records()
    assert (record.status, record.completion_tokens) == (200, 100)


def test_a_process_killed_in_mid_answer_is_answered_by_its_error_for_ever(
    store: Engine, model: SlowEngine, data_dir: Path, account: Account, headers: dict[str, str]
) -> None:
    with gateway_process.running(store.url, data_dir, model.url) as (port, gateway):
        url, body = f"http://127.0.0.1:{port}/v1/chat/completions", {**BODY, "stream": True}
        model.every_seconds = 0.1
        cut = requests.post(url, json=body, headers=headers, stream=True)
        cut.raw.read(500, decode_content=True)
        gateway_process.kill(gateway)
        cut.close()
    with gateway_process.running(store.url, data_dir, model.url) as (port, _):
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        ((request_id, lease),) = account.grant().leases.items()
        write_expiry(account, request_id, 60_000)
        assert requests.post(url, json=body, headers=headers).status_code == 409  # its lease may be another process's
        write_expiry(account, request_id, -60_000)  # as if a minute had passed
        answers = [requests.post(url, json=body, headers=headers)]
        settle_abandoned(store.store, account.id, request_id, lease)
        answers.append(requests.post(url, json=body, headers=headers))
        for answer in answers:
            assert answer.status_code == 500 and answer.headers["x-should-retry"] == "false"
            assert answer.headers["x-sluice-request-id"] == request_id
            assert "not executed again" in answer.json()["error"]["message"]
        assert requests.post(url, json=body, headers={**headers, "Idempotency-Key": "new"}).status_code == 200
    first, second = account.records()
    assert (first.request_id, first.status, first.settled_by) == (request_id, 500, "sweeper")
    assert second.status == 200 and len(model.generations) == 2


def write_expiry(account: Account, request_id: str, in_ms: int) -> None:
    """The lease ends so long from now."""
    leases = account.grant().leases
    account.item = account.raw()
    account.write_leases({request_id: replace(leases[request_id], expires_ms=int(time.time() * 1000) + in_ms)})


def test_of_killed_and_repeated_requests_each_key_has_one_record(
    store: Engine, model: SlowEngine, data_dir: Path, account: Account, headers: dict[str, str]
) -> None:
    """Each caller repeats its request until it is told how it ended, while the gateway is killed under it."""
    model.every_seconds, model.tokens = 0.01, 30
    killed = threading.Event()
    model.holds = lambda generation, token: generation >= 30 and not killed.is_set()  # not all end before the kill
    account.write_limits(replace(account.limits, concurrency=100))
    ended: dict[str, int] = {}
    with gateway_process.running(store.url, data_dir, model.url) as (port, gateway), ThreadPoolExecutor(8) as pool:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"

        def first(key: str) -> None:
            try:
                answer = requests.post(url, json=BODY, headers={**headers, "Idempotency-Key": key}, timeout=120)
                ended[key] = answer.status_code
            except requests.RequestException:
                return

        sent = [pool.submit(first, f"k{place}") for place in range(40)]
        eventually(lambda: len(ended) >= 10)
        gateway_process.kill(gateway)
        killed.set()
        for one in sent:
            one.result()
    for request_id, lease in account.grant().leases.items():
        settle_abandoned(store.store, account.id, request_id, lease)
    assert 10 <= len(ended) < 40 and set(ended.values()) == {200}
    with gateway_process.running(store.url, data_dir, model.url) as (port, _):
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        answers = {}
        for key in (f"k{place}" for place in range(40)):
            answers[key] = requests.post(url, json=BODY, headers={**headers, "Idempotency-Key": key})
            assert answers[key].status_code in ((200,) if key in ended else (200, 409, 500)), answers[key].text
    # 409: the key was claimed, and perhaps no more. A request of another may have been killed before the model got it.
    told = [answer for answer in answers.values() if answer.status_code != 409]
    recorded, named = {record.request_id for record in account.records()}, {one.headers[ID] for one in told}
    assert len(account.records()) == len(recorded) and len(told) == len(named) and named <= recorded
    assert len(recorded - named) <= 40 - len(told)
    assert sum(answer.status_code == 200 for answer in told) <= len(model.generations) <= len(recorded)
