"""Counts the calls that docs/cost.md is computed from again, so that code which writes more is noticed.

`SLUICE_WRITE_COUNTS=1` stores new counts; `python -m infra.aws.cost --write` then updates docs/cost.md.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.metering import app as metering
from functions.sweeper import app as sweeper
from functions.worker import app as worker
from infra.aws.cost.inputs import COUNTS
from infra.local.schedule import event
from sluice.domain.ids import random_id
from sluice.domain.runs import run_of
from sluice.wiring import stores
from sluice.wiring.runs import runs
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.aws.cost.meter import metered
from tests.integration.gateway.admission.test_item_size import item_bytes
from tests.integration.gateway.conftest import Person, newcomer, person, world
from tests.integration.gateway.test_owners_terms import HOME, apply
from tests.integration.usage.world import stream_record

__all__ = ["newcomer", "person", "world"]
KEY = "Idempotency-Key"
PROMPT = "word " * 240  # 1,200 bytes, some 300 tokens
ANSWER = "word " * 160  # 800 bytes, some 200 tokens

SELDOM = {
    "sluice.http.gateway.execute.BLOCK_SECONDS": 25.0,
    "sluice.services.runs.WATCH_SECONDS": 25.0,
    "sluice.services.gateway.exchange.RENEW_EVERY_MS": 25_000,
    "sluice.services.gateway.exchange.HELD_MS": 25_000,
}
"""What is done again after some time of a run, so that a busy machine does it as often as an idle one."""


def ask(person: Person, **headers: str) -> None:
    body = {**person.body, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    answer = person.client.post("/v1/chat/completions", json=body, headers={**person.api_token, **headers})
    assert answer.status_code == 200 and b"[DONE]" in answer.data


def counted(person: Person, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    prefix = person.store.prefix
    person.script(chunk(ANSWER), chunk(None, "stop"), usage_chunk(300, 200))
    ask(person), ask(person)  # the first request guesses the limits; afterwards the process knows the account
    found: dict[str, Any] = {}
    found["request"] = least(person, monkeypatch)

    found["request_with_key"] = least(person, monkeypatch, lambda: random_id("key_"))
    ask(person, **{KEY: "k"})
    found["request_with_key_again"] = least(person, monkeypatch, lambda: "k")

    whole = person.upstream.steps
    person.script(*[chunk("word ")] * 160, chunk(None, "stop"), usage_chunk(300, 200))  # so that events are counted
    for name, value in SELDOM.items():
        monkeypatch.setattr(name, value)
    in_background(person)
    with metered(prefix, monkeypatch) as meter:
        run_id = in_background(person)
    found["background_response"] = {**meter.told(), "stored_bytes": stored(person, run_id)}
    person.script(*whole)

    person.call("PATCH", "/account", json={"store_content": False})
    ask(person)
    found["request_without_content"] = least(person, monkeypatch)

    grant = stores.hot_store().grant(person.account_id)
    assert grant is not None and not grant.leases
    records = list(stores.ledger_reader().everything(person.account_id))
    metering.handler({"Records": [stream_record(records[0])]}, None)
    with metered(prefix, monkeypatch) as meter:
        metering.handler({"Records": [stream_record(records[1])]}, None)
    found["metering_of_one"] = meter.told()
    for _ in range(25):
        stores.hot_store().put_record(_copy(records[0]))
    more = [one for one in stores.ledger_reader().everything(person.account_id) if one.rolled_up_ms is None][-25:]
    with metered(prefix, monkeypatch) as meter:
        metering.handler({"Records": [stream_record(record) for record in more]}, None)
    found["metering_of_25"] = meter.told()

    forget_mails(person)
    sweep(), sweep()
    with metered(prefix, monkeypatch) as meter:
        sweep()
    found["sweep_of_nothing"] = meter.told()

    priced = {**HOME, "daily_usd": "100", "prompt_usd": "1", "completion_usd": "1"}
    apply(upstreams=[priced], models=[{"id": "demo", "upstreams": ["local:demo"]}])
    ask(person)
    found["request_of_a_day_without_content"] = least(person, monkeypatch)
    return found


def least(person: Person, monkeypatch: pytest.MonkeyPatch, key: Callable[[], str] | None = None) -> dict[str, Any]:
    """The smallest of three: on a slow machine a bucket may fill up before the write, which costs one more call."""
    told = []
    for _ in range(3):
        with metered(person.store.prefix, monkeypatch) as meter:
            ask(person, **({KEY: key()} if key else {}))
        told.append(meter.told())
    return min(told, key=lambda one: int(one["calls"]))


def in_background(person: Person) -> str:
    """Submitted, executed and read once. → its run's id."""
    body = {"model": "demo", "input": PROMPT, "background": True}
    response = person.client.post("/v1/responses", json=body, headers=person.api_token).json
    assert response is not None
    run_id = run_of(response["id"])
    assert run_id is not None
    named = json.dumps({"account_id": person.account_id, "run_id": run_id})
    worker.handler({"Records": [{"messageId": "1", "body": named}]}, None)
    read = person.client.get(f"/v1/responses/{response['id']}", headers=person.api_token).json
    assert read is not None and read["status"] == "completed"
    return run_id


def stored(person: Person, run_id: str) -> dict[str, int]:
    """Bytes of a run that has ended: its row and its events, which go after a day, and its response."""
    run = runs().rows.get(person.account_id, run_id)
    assert run is not None
    kept = {"runs": ("run_id", run_id), "contents": ("item_id", "response#" + run.place)}
    sizes = {"events": sum(len(runs().events.get(run, first) or b"") for first in runs().events.firsts(run))}
    for table, (name, value) in kept.items():
        key = {"account_id": {"S": person.account_id}, name: {"S": value}}
        item = person.store.client.get_item(TableName=person.store.prefix + table, Key=key, ConsistentRead=True)["Item"]
        sizes[table] = item_bytes(item)
    return sizes


def forget_mails(person: Person) -> None:
    """Nobody sends them here, and where the test takes seconds the sweep finds them late."""
    table = person.store.prefix + "mails"
    for item in person.store.client.scan(TableName=table)["Items"]:
        person.store.client.delete_item(TableName=table, Key={"mail_id": item["mail_id"]})


def sweep() -> None:
    from datetime import UTC, datetime

    sweeper.handler(event(datetime.now(UTC)), None)


def _copy(record: Any) -> Any:
    from dataclasses import replace

    from sluice.domain.ids import request_id

    return replace(record, request_id=request_id(record.created_ms), rolled_up_ms=None)


def test_the_cost_models_counts_equal_the_calls_of_the_code(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    found = counted(person, monkeypatch)
    if os.environ.get("SLUICE_WRITE_COUNTS"):
        Path(COUNTS).write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(Path(COUNTS).read_text())
