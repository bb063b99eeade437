"""Background responses and batches through the template's queues and worker: workers that are killed, and a poisoned
message.

The queues are the template's, with a visibility timeout of 16 minutes, which the worker shortens.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from functions.worker.app import AGAIN_SECONDS, HOLD_SECONDS
from sluice.adapters.gateway.grant_item import grant_from
from sluice.domain.gateway.leases import Lease
from tests.aws.emulator.accidents import crawling, environments, kill_all
from tests.aws.emulator.deployment import Deployment
from tests.aws.emulator.people import newcomer
from tests.e2e.people import Person
from tests.integration.inference.server import Server

pytestmark = pytest.mark.timeout(1800)
ENDED = {"completed", "incomplete", "failed"}
DELIVERIES = 5  # the template's
SWEPT_SECONDS = 30 + 60 + 180  # a lease, a sweep each minute, and an answer on a busy machine
ROWS, KILLS = 24, 2
WORKERS = 2  # of batches at once, the template's
CHAT = "/v1/chat/completions"


@dataclass
class Runs:
    """The queue of runs with its event source mapping, and a person who submits."""

    deployment: Deployment
    person: Person
    account_id: str

    def submit(self, text: str, tokens: int) -> str:
        """→ the response's id."""
        body = {"model": "demo", "input": text, "background": True, "max_output_tokens": tokens}
        answer = self.person.v1("POST", "/v1/responses", json=body)
        assert (answer.status_code, answer.json()["status"]) == (200, "queued"), answer.text
        return str(answer.json()["id"])

    def read(self, response_id: str) -> dict[str, Any]:
        answer = self.person.v1("GET", f"/v1/responses/{response_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_ended(self, response_id: str, seconds: float) -> dict[str, Any]:
        self.deployment.wait_until(lambda: self.read(response_id)["status"] in ENDED, seconds, response_id)
        return self.read(response_id)

    def leases(self) -> Mapping[str, Lease]:
        (item,) = self.deployment.items("GrantsTable", account_id=self.account_id)
        return grant_from(item).leases

    def lease(self, run_id: str) -> Lease | None:
        return self.leases().get(run_id)

    @contextmanager
    def unswept(self) -> Iterator[None]:
        """Without the sweeper, which would send again a row whose lease has expired."""
        with self.deployment.client("events") as events:
            (rule,) = (each["Name"] for each in events.list_rules()["Rules"] if "Sweeper" in each["Name"])
            events.disable_rule(Name=rule)
            try:
                yield
            finally:
                events.enable_rule(Name=rule)

    def records(self, run_id: str) -> list[dict[str, Any]]:
        return self.deployment.items("LedgerTable", request_id=run_id)

    def deliver_at_most(self, times: int) -> None:
        with self.deployment.client("sqs") as sqs:
            url = self.deployment.physical["Runs"]
            told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
            policy = {**json.loads(told["RedrivePolicy"]), "maxReceiveCount": times}
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})

    def mapping(self, **changes: Any) -> dict[str, Any]:
        with self.deployment.client("lambda") as lambdas:
            name = "WorkerFunction"
            found = lambdas.list_event_source_mappings(FunctionName=self.deployment.physical[name])
            queue = self.deployment.physical["Runs"].rpartition("/")[2]
            (one,) = (each for each in found["EventSourceMappings"] if each["EventSourceArn"].endswith(f":{queue}"))
            return dict(lambdas.update_event_source_mapping(UUID=one["UUID"], **changes) if changes else one)

    def dead_letters(self) -> list[str]:
        """The ids of the runs in the worker's dead letters."""
        with self.deployment.client("sqs") as sqs:
            url = self.deployment.physical["WorkerFailures"]
            told = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"])["run_id"] for message in told.get("Messages", [])]


def run_id(response_id: str) -> str:
    return "req_" + response_id.removeprefix("resp_")[:26].upper()


@pytest.fixture(scope="module")
def runs(deployment: Deployment) -> Iterator[Runs]:
    person = newcomer(deployment)
    runs = Runs(deployment, person, person.call("GET", "/account").json()["id"])
    before = runs.mapping()
    yield runs
    runs.deliver_at_most(DELIVERIES)
    runs.mapping(BatchSize=before["BatchSize"])


@pytest.fixture(scope="module")
def killed(runs: Runs, model: Server) -> tuple[str, Lease]:
    """A response whose worker was killed in mid-answer, and the lease that it left."""
    assert runs.wait_ended(runs.submit("What is 3 + 4?", 8), 180)["status"] in ("completed", "incomplete")
    with crawling(model):
        response_id = runs.submit("Write a paragraph on what an API is.", 400)
        at_work = lambda: (lease := runs.lease(run_id(response_id))) is not None and lease.completion_tokens > 0  # noqa: E731
        runs.deployment.wait_until(at_work, 180, "an answer that has begun")
        kill_workers(runs)
        lease = runs.lease(run_id(response_id))
    assert lease is not None and runs.records(run_id(response_id)) == []
    return response_id, lease


def kill_workers(runs: Runs) -> None:
    kill_all(environments(runs.deployment, "WorkerFunction"))


def test_a_poisoned_message_repeats_no_other_of_its_batch_and_ends_in_the_dead_letters(
    runs: Runs, killed: tuple[str, Lease]
) -> None:
    runs.deliver_at_most(1)
    runs.mapping(Enabled=False, BatchSize=10)
    responses = [runs.submit(f"What is 2 + {place}?", 8) for place in range(3)]
    _poison(runs, responses[1])
    runs.mapping(Enabled=True)

    partial = "OK - 2 records, 1 partial failures"
    runs.deployment.wait_until(lambda: runs.mapping()["LastProcessingResult"] == partial, 180, partial)
    for response_id in (responses[0], responses[2]):
        assert runs.read(response_id)["status"] in ("completed", "incomplete")
    submitted = {run_id(one) for one in responses}  # the killed worker's message was delivered once, too
    poisoned = lambda: submitted & set(runs.dead_letters())  # noqa: E731
    runs.deployment.wait_until(lambda: bool(poisoned()), AGAIN_SECONDS + 180, "a dead letter")
    assert poisoned() == {run_id(responses[1])}
    assert [len(runs.records(run_id(response_id))) for response_id in responses] == [1, 0, 1]


def _poison(runs: Runs, response_id: str) -> None:
    """Take out of its row what the worker reads first, as a faulty version might have written it."""
    key = {"account_id": {"S": runs.account_id}, "run_id": {"S": run_id(response_id)}}
    with runs.deployment.client("dynamodb") as dynamodb:
        table = runs.deployment.physical["RunsTable"]
        dynamodb.update_item(TableName=table, Key=key, UpdateExpression="REMOVE epoch")


def test_a_killed_worker_is_followed_by_another_which_ends_the_run_once(runs: Runs, killed: tuple[str, Lease]) -> None:
    response_id, left = killed
    done = runs.wait_ended(response_id, SWEPT_SECONDS)
    assert done["status"] in ("completed", "incomplete") and done["output"][0]["content"][0]["text"]
    (record,) = runs.records(run_id(response_id))
    used = {name: int(record[name]["N"]) for name in ("status", "prompt_tokens", "completion_tokens")}
    assert used == {
        "status": 200,
        "prompt_tokens": left.prompt_tokens + done["usage"]["input_tokens"],
        "completion_tokens": left.completion_tokens + done["usage"]["output_tokens"],
    }
    (row,) = runs.deployment.items("RunsTable", run_id=run_id(response_id))
    assert (row["status"]["S"], row["deaths"]["N"]) == ("completed", "1")
    assert runs.lease(run_id(response_id)) is None
    stream = runs.person.v1("GET", f"/v1/responses/{response_id}?stream=true").text
    told = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    deltas = [event["delta"] for event in told if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == done["output"][0]["content"][0]["text"]


def test_a_batch_whose_workers_are_killed_goes_on_within_minutes_and_has_one_record_a_row(
    runs: Runs, model: Server
) -> None:
    """Only by the message, as between two rows, where there is no lease by which the sweeper would find it.

    Workers are killed when each has a row with a lease: one that has none may not hold its message yet.
    """
    sdk = runs.person.openai
    lines = "".join(json.dumps(row(number)) + "\n" for number in range(ROWS)).encode()
    file = sdk.files.create(file=("rows.jsonl", lines), purpose="batch")
    batch = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    done = lambda: (counts := sdk.batches.retrieve(batch.id).request_counts) is not None and counts.completed  # noqa: E731
    dead: set[tuple[str, int]] = set()
    living = lambda: {(one, lease.epoch) for one, lease in runs.leases().items()} - dead  # noqa: E731
    for kill in range(KILLS):
        with crawling(model):
            more = lambda kill=kill: done() > kill and len(living()) == WORKERS  # noqa: E731
            runs.deployment.wait_until(more, HOLD_SECONDS + 180, "a row more, and all workers at one")
            kill_workers(runs)
            dead |= living()
    ended = lambda: sdk.batches.retrieve(batch.id).status == "completed"  # noqa: E731
    with runs.unswept():
        runs.deployment.wait_until(ended, 2 * HOLD_SECONDS + 180, "a batch that ends")
    output = sdk.files.content(sdk.batches.retrieve(batch.id).output_file_id or "").text.splitlines()
    told = {one["custom_id"]: one["response"]["request_id"] for one in map(json.loads, output)}
    assert sorted(told) == sorted(f"row-{number}" for number in range(ROWS))
    assert {request_id for request_id, _ in dead} <= set(told.values())
    assert [len(runs.records(request_id)) for request_id in told.values()] == [1] * ROWS


def row(number: int) -> dict[str, Any]:
    body = {"model": "demo", "messages": [{"role": "user", "content": f"What is {number} + 1?"}], "max_tokens": 8}
    return {"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body}
