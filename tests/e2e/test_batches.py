"""A batch from outside, with the official SDK: uploaded, made, completed, read; each row with one ledger record."""

import json
from typing import Any

import pytest

from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.place import Place
from tests.waiting import eventually

CHAT = "/v1/chat/completions"
ROWS = 12
BATCH_SECONDS = 180


@pytest.fixture(scope="module")
def person(system: Place) -> Person:
    return people.newcomer(system.base_url)


def row(number: int, model: str = "demo") -> dict[str, Any]:
    asked = [{"role": "user", "content": f"What is {number} + {number}?"}]
    body = {"model": model, "messages": asked, "max_tokens": 16}
    return {"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body}


def results(person: Person, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(one) for one in person.openai.files.content(file_id or "").text.splitlines()]


def test_a_batch_is_uploaded_made_completed_and_read(person: Person) -> None:
    rows = [*map(row, range(ROWS)), row(ROWS, "no-such-model")]
    content = "".join(json.dumps(one) + "\n" for one in rows).encode()
    file = person.openai.files.create(file=("rows.jsonl", content), purpose="batch")
    key = {"Idempotency-Key": "once"}
    made = [
        person.openai.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"of": "e2e"}, extra_headers=key
        )
        for _ in range(2)
    ]
    assert made[0].id == made[1].id and made[0].metadata == {"of": "e2e"}

    eventually(lambda: person.openai.batches.retrieve(made[0].id).completed_at is not None, BATCH_SECONDS)
    batch = person.openai.batches.retrieve(made[0].id)
    assert batch.status == "completed" and batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": ROWS + 1, "completed": ROWS, "failed": 1}

    answered, (refused,) = results(person, batch.output_file_id), results(person, batch.error_file_id)
    assert sorted(one["custom_id"] for one in answered) == sorted(f"row-{number}" for number in range(ROWS))
    assert refused["custom_id"] == f"row-{ROWS}" and refused["response"]["status_code"] == 404
    assert {one["response"]["body"]["object"] for one in answered} == {"chat.completion"}

    told = person.call("GET", "/usage/logs", params={"limit": 100}).json()["data"]
    records = [one for one in told if one["endpoint"] == "chat.completions"]
    spent = {one["response"]["request_id"]: one["response"]["body"]["usage"]["total_tokens"] for one in answered}
    assert {one["id"]: one["total_tokens"] for one in records} == spent and len(records) == ROWS
    assert {one.filename for one in person.openai.files.list(purpose="batch_output")} == {
        f"{batch.id}_output.jsonl",
        f"{batch.id}_errors.jsonl",
    }


def test_a_batch_is_listed_and_cancelled(person: Person) -> None:
    content = "".join(json.dumps(row(number)) + "\n" for number in range(200)).encode()
    file = person.openai.files.create(file=("rows.jsonl", content), purpose="batch")
    batch = person.openai.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert person.openai.batches.list(limit=1).data[0].id == batch.id
    assert person.openai.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    eventually(lambda: person.openai.batches.retrieve(batch.id).status == "cancelled", BATCH_SECONDS)
    counts = person.openai.batches.retrieve(batch.id).request_counts
    assert counts is not None and counts.completed + counts.failed == counts.total in (0, 200)
