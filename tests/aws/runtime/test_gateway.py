"""The packaged gateway under the streaming Lambda Web Adapter: between Lambda's invocations, and at the end of an
environment."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.aws.runtime.events import api_event
from tests.aws.runtime.sandbox import Sandbox, sandbox
from tests.aws.runtime.town import Person, Town
from tests.waiting import eventually

Start = Callable[..., Sandbox]
PATIENCE_SECONDS = 120.0


@pytest.fixture
def start(town: Town, lambda_build: Path, adapter: Path, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(sandbox(town, lambda_build, adapter, tmp_path, **more))


@pytest.fixture
def gateway(start: Start) -> Sandbox:
    return start()


@pytest.fixture
def person(town: Town) -> Person:
    return town.newcomer()


def ask(person: Person, *, stream: bool = True, text: str = "Capital of France?", **headers: str) -> dict[str, Any]:
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 50}
    return api_event("POST", "/v1/chat/completions", body, **person.bearer, **headers)


def the_record(town: Town, person: Person) -> Any:
    (record,) = eventually(lambda: town.ledger(person))
    return record


def test_the_first_piece_arrives_before_the_last_token_is_generated(
    gateway: Sandbox, town: Town, person: Person
) -> None:
    rest = town.model.hold_before(1)
    answer = gateway(ask(person))
    status, headers = answer.head()
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    told = answer.read_until(b'"Pa"')
    assert (
        b'"ris"' not in told and not town.model.ended
    )  # the model waits for this test, so nothing can have been buffered
    rest.set()
    told = answer.rest()
    assert b'"ris"' in told and told.endswith(b"data: [DONE]\n\n")
    assert gateway.api.modes == ["streaming"] and gateway.api.extensions == ["lambda-adapter"]
    assert (the_record(town, person).status, the_record(town, person).completion_tokens) == (200, 2)


def test_everything_is_settled_before_the_last_byte(gateway: Sandbox, town: Town, person: Person) -> None:
    """Lambda may freeze an environment as soon as its answer is complete, and never thaw it."""
    assert gateway(ask(person), frozen_at_end=True).rest().endswith(b"[DONE]\n\n")
    (record,) = town.ledger(person)  # no waiting is needed, because nothing runs there any more
    assert (record.status, record.prompt_tokens, record.completion_tokens) == (200, 10, 2)
    assert town.grant(person).leases == {}
    assert '"tokens"' in gateway.log()  # the metrics too


def test_after_a_thaw_it_answers_although_its_connections_are_dead(
    gateway: Sandbox, town: Town, person: Person
) -> None:
    """After pauses longer than every keep-alive, and pauses after which only one side has closed its connection."""
    assert gateway(ask(person, stream=False)).json()["choices"][0]["message"]["content"] == "Paris"
    for seconds in (0.5, 3.0, 5.0):  # the adapter drops idle connections after 4 s
        gateway.freeze()
        town.drop_connections()
        time.sleep(seconds)
        gateway.thaw()
        answer = gateway(ask(person, stream=False))
        assert (answer.head()[0], answer.json()["choices"][0]["message"]["content"]) == (200, "Paris"), gateway.log()
    assert [record.status for record in town.ledger(person)] == [200] * 4


def test_a_freeze_does_not_change_the_rate_limit(gateway: Sandbox, town: Town) -> None:
    """A bucket of 30 refills one every 2 s, also while the process is frozen."""
    person, began, admitted = town.newcomer(rpm=30), time.time(), 0
    for _ in range(90):
        status, headers = gateway(ask(person, stream=False)).head()
        if status == 429:
            break
        admitted += 1
    assert status == 429 and admitted >= 30
    gateway.freeze()
    time.sleep(int(headers["retry-after"]) + 0.5)
    gateway.thaw()
    statuses = [gateway(ask(person, stream=False)).head()[0] for _ in range(4)]
    assert statuses[0] == 200
    admitted += statuses.count(200)
    assert admitted <= 30 + (time.time() - began) / 2 + 1


def test_a_request_ends_before_lambdas_deadline(gateway: Sandbox, town: Town, person: Person) -> None:
    """Lambda kills the process at the deadline, so the request is ended, settled and answered before it."""
    gateway(ask(town.newcomer(), stream=False)).rest()  # the first answer's time is no matter
    town.model.hold_before(1)
    answer = gateway(ask(person), seconds=24.0)  # of which the model has 18
    told = answer.rest()
    assert answer.deadline_ms > time.time() * 1000
    assert b'"Pa"' in told and b'"upstream_timeout"' in told and b"[DONE]" not in told
    record = the_record(town, person)
    assert (record.status, record.completion_tokens, record.settled_by) == (504, 1, "gateway")
    assert town.grant(person).leases == {}


def test_no_caller_can_move_the_deadline(gateway: Sandbox, person: Person) -> None:
    context = json.dumps({"deadline": 1})
    answer = gateway(ask(person, stream=False, **{"x-amzn-lambda-context": context}))
    assert answer.head()[0] == 200


def test_a_request_is_settled_as_cancelled_if_lambda_closes_the_answer(
    gateway: Sandbox, town: Town, person: Person
) -> None:
    town.model.hold_before(1)
    answer = gateway(ask(person))
    answer.read_until(b'"Pa"')
    answer.hang_up()
    record = the_record(town, person)
    assert (record.status, record.finish_reason, record.completion_tokens) == (499, "cancelled", 1)
    assert eventually(lambda: town.model.ended) == ["broken off"]


def test_a_client_whose_disconnect_is_not_seen_is_charged_for_the_whole_answer(
    gateway: Sandbox, town: Town, person: Person
) -> None:
    """Lambda does not stop an invocation when the client disconnects, so the stream runs to its end."""
    rest = town.model.hold_before(1)
    answer = gateway(ask(person))
    rest.set()
    record = the_record(town, person)
    assert (record.status, record.completion_tokens) == (200, 2)
    answer.rest()


def test_a_revoked_token_ends_its_stream_on_lambda_too(gateway: Sandbox, town: Town, person: Person) -> None:
    town.model.hold_before(1)
    answer = gateway(ask(person))
    answer.read_until(b'"Pa"')
    revoked = town.world.client.post(f"/tokens/{person.token_id}/revoke", headers=person.logged_in)
    assert revoked.status_code == 200
    assert b'"invalid_api_key"' in answer.rest()
    assert the_record(town, person).status == 401


def test_sigterm_lets_running_requests_finish(gateway: Sandbox, town: Town, person: Person) -> None:
    rest = town.model.hold_before(1)
    answer = gateway(ask(person))
    answer.read_until(b'"Pa"')
    gateway.terminate()
    rest.set()
    assert answer.rest().endswith(b"[DONE]\n\n")
    assert the_record(town, person).status == 200
    assert gateway.program.wait(PATIENCE_SECONDS) == 0


def test_sigterm_between_invocations_ends_the_program(gateway: Sandbox, person: Person) -> None:
    assert gateway(ask(person, stream=False)).head()[0] == 200
    gateway.terminate()
    assert gateway.program.wait(PATIENCE_SECONDS) == 0


def test_the_sweeper_can_settle_a_request_of_a_killed_gateway(gateway: Sandbox, town: Town, person: Person) -> None:
    from tests.aws.runtime.processes import kill

    town.model.hold_before(1)
    answer = gateway(ask(person))
    answer.read_until(b'"Pa"')
    kill(gateway.program)
    ((_, lease),) = town.grant(person).leases.items()
    assert town.ledger(person) == [] and lease.token_id == person.token_id


def test_no_data_of_the_last_caller_is_left(gateway: Sandbox, town: Town, person: Person) -> None:
    other = town.newcomer(rpm=7)
    first = gateway(ask(person, text="the first one's secret", **{"x-request-id": "first-id"}))
    assert first.head()[1]["x-request-id"] == "first-id"
    first.rest()
    second = gateway(ask(other, text="another question"))
    headers = second.head()[1]
    assert headers["x-request-id"] not in ("", "first-id") and headers["x-ratelimit-limit-requests"] == "7"
    second.rest()
    assert "secret" not in json.dumps(town.model.asked[-1])
    assert {town.model.headers[0]["x-sluice-account"], town.model.headers[1]["x-sluice-account"]} == {
        person.account_id,
        other.account_id,
    }
    nobody = gateway(api_event("POST", "/v1/chat/completions", {"model": "demo", "messages": []}))
    status, headers = nobody.head()
    assert status == 401 and not [name for name in headers if name.startswith("x-ratelimit") or name == "set-cookie"]
    assert nobody.json()["error"]["code"] == "invalid_api_key"
    lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith('{"time"')]
    ids = [line["request_id"] for line in lines if line.get("message") == "answered"]
    assert len(ids) == len(set(ids)) == 3 and ids[0] == "first-id"
    assert "secret" not in gateway.log() and person.api_token not in gateway.log()


def test_an_answer_without_streaming_is_complete(gateway: Sandbox, person: Person) -> None:
    listed = gateway(api_event("GET", "/v1/models", **person.bearer))
    assert (listed.head()[0], [model["id"] for model in listed.json()["data"]]) == (200, ["demo"])


def test_without_a_store_it_starts_and_answers_503(start: Start, person: Person) -> None:
    gateway = start(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9")
    answer = gateway(ask(person, stream=False))
    assert (answer.head()[0], answer.json()["error"]["code"]) == (503, "unavailable")
