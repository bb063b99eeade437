"""`kill -9` of worker, engine, store and app under a batch: each row has one result, and one ledger record."""

import json
import os
import random
import time
from collections import Counter
from typing import Any

import pytest
import requests

from tests.books import disagreements, kill_group, settled
from tests.chaos.conftest import SWEEP_SECONDS
from tests.e2e import people
from tests.e2e.system import System
from tests.rounds import rounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(7200)]

ROWS = int(os.environ.get("SLUICE_ROWS", rounds(2_000, 150)))
KILLS = int(os.environ.get("SLUICE_ROW_KILLS", rounds(8, 4)))
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
CHAT = "/v1/chat/completions"


def batch_of(person: people.Person, batch_id: str) -> dict[str, Any]:
    """Also while its processes are killed."""
    while True:
        try:
            answer = person.v1("GET", f"/v1/batches/{batch_id}")
            if answer.status_code == 200:
                return dict(answer.json())
        except requests.RequestException:
            pass
        time.sleep(0.3)


def results(person: people.Person, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    until = time.monotonic() + 120  # the last kill may have been a moment ago
    while (answer := person.v1("GET", f"/v1/files/{file_id}/content")).status_code == 503 and time.monotonic() < until:
        time.sleep(0.5)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def row(number: int) -> bytes:
    body = {"model": "demo", "messages": [{"role": "user", "content": f"Say {number}."}], "max_tokens": 8}
    given = {"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body}
    return json.dumps(given).encode() + b"\n"


def test_each_row_has_one_result_and_one_record_through_kills_of_every_process(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    dice, person = random.Random(SEED), people.newcomer(system.base_url)
    sent = {"file": ("rows.jsonl", b"".join(map(row, range(ROWS))))}
    file = person.v1("POST", "/v1/files", files=sent, data={"purpose": "batch"}).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    batch = person.v1("POST", "/v1/batches", json=asked).json()

    names = ["worker", *dice.choices(["worker", "worker", "inference", "store", "app"], k=KILLS - 1)]
    began, done = time.monotonic(), 0
    for place, name in enumerate(names, 1):
        wanted = done + (ROWS - done) // (KILLS + 2 - place)
        while done < wanted and batch["status"] in ("validating", "in_progress"):
            batch = batch_of(person, batch["id"])
            done = batch["request_counts"]["completed"] + batch["request_counts"]["failed"]
            assert time.monotonic() < began + 1200 + ROWS, f"{batch['request_counts']} (seed {SEED})"
            time.sleep(dice.uniform(0, 0.3))
        system.wait_restarted(name, kill_group(system, name), 120)
    while batch["status"] not in ("completed", "failed"):
        assert time.monotonic() < began + 1200 + 2 * ROWS, f"{batch['request_counts']} (seed {SEED})"
        time.sleep(0.5)
        batch = batch_of(person, batch["id"])

    told = [*results(person, batch["output_file_id"]), *results(person, batch["error_file_id"])]
    books = settled(system, SWEEP_SECONDS)
    records = {record.request_id: record for record in books.ledger() if record.price_percent is not None}
    statuses = Counter(one["response"]["status_code"] for one in told)
    taken_over = sum(record.settled_by == "sweeper" for record in records.values())
    with capsys.disabled():
        print(f"\n  {ROWS} rows through {KILLS} kills (seed {SEED}, {dict(Counter(names))}) ", end="")
        print(f"in {time.monotonic() - began:.0f} s: {dict(statuses)}, {taken_over} settled by whoever came next")
    assert batch["status"] == "completed"
    assert sorted(one["custom_id"] for one in told) == sorted(f"row-{number}" for number in range(ROWS))
    assert {one["response"]["request_id"] for one in told} == records.keys()
    for one in told:
        used = one["response"]["body"].get("usage")
        if used:  # what dead attempts have generated is charged with it
            assert records[one["response"]["request_id"]].total_tokens >= used["total_tokens"]
    assert disagreements(books.ledger(), books.grants(), books.rolled_up()) == []
    assert statuses[200] > ROWS * 0.97
