"""Background responses with the official SDK: submitted, executed by the worker's handler, read, followed, cancelled."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest

from functions.worker.app import handler
from sluice.wiring.runs import runs
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_responses import post, sdk, told  # noqa: F401 (a fixture)


def message(account_id: str, run_id: str) -> dict[str, Any]:
    return {"messageId": run_id, "body": json.dumps({"account_id": account_id, "run_id": run_id})}


def submitted(person: Person, **fields: Any) -> dict[str, Any]:
    answer = post(person, background=True, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json


def run_id(response: dict[str, Any]) -> str:
    return "req_" + response["id"].removeprefix("resp_")[:26].upper()


def work(person: Person, response: dict[str, Any]) -> None:
    answer = handler({"Records": [message(person.account_id, run_id(response))]}, None)
    assert answer == {"batchItemFailures": []}


def read(person: Person, response: dict[str, Any], path: str = "", method: str = "GET") -> dict[str, Any]:
    answer = person.client.open(f"/v1/responses/{response['id']}{path}", method=method, headers=person.api_token)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json


def test_a_background_response_is_queued_executed_and_read(person: Person) -> None:
    response = submitted(person)
    assert response["status"] == "queued" and response["background"] is True and response["output"] == []
    assert read(person, response)["status"] == "queued"
    assert person.log() == []

    work(person, response)
    done = read(person, response)
    assert done["status"] == "completed"
    assert done["output"][0]["content"][0]["text"] == "Paris"
    (record,) = person.log()
    assert record["id"] == run_id(response) and record["status"] == 200
    assert person.grant().leases == {}
