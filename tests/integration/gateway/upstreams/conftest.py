"""The gateway with two scripted servers of its owner's: `assistant` is tried at `first`, then at `second`; `lonely` at
`first` alone. `caller` is a person whose every answer is checked by `outcome`."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sluice import settings
from sluice.adapters.gateway.hot_store import record_from
from sluice.domain.usage.ledger import LedgerRecord
from sluice.wiring import upstreams
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply
from tests.integration.gateway.upstreams.scripted import Scripted

KEYS = {"FIRST_KEY": "first-key-7c1d52", "SECOND_KEY": "second-key-90ab41"}
PATIENCE_SECONDS = 60  # for what is not silent on purpose, because this machine may be slow
REAL_ELSEWHERE = upstreams.elsewhere


@dataclass
class Servers:
    first: Scripted
    second: Scripted

    def tables(self, **first: Any) -> dict[str, Any]:
        """The owner's settings."""
        away = {"name": "first", "kind": "openai", "url": self.first.url, "key": "env:FIRST_KEY", **first}
        other = {"name": "second", "kind": "openai", "url": self.second.url, "key": "env:SECOND_KEY"}
        models = [
            {"id": "assistant", "upstreams": ["first:their-a", "second:their-b"]},
            {"id": "lonely", "upstreams": ["first:their-a"]},
        ]
        return {"upstreams": [away, other], "models": models}


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_UPSTREAM_IDLE_SECONDS", str(PATIENCE_SECONDS))
    monkeypatch.setenv("SLUICE_UPSTREAM_CONNECT_SECONDS", str(PATIENCE_SECONDS))
    settings.gateway.cache_clear()
    made = Servers(Scripted(), Scripted())
    yield made
    made.first.stop()
    made.second.stop()


@pytest.fixture
def caller(servers: Servers, person: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    monkeypatch.setattr(upstreams, "elsewhere", REAL_ELSEWHERE)
    apply(**servers.tables())
    yield person
    for server in upstreams.routes().servers.values():
        pool = getattr(server.upstream, "_pool", None)
        if pool is not None:
            pool.close()


@dataclass(frozen=True)
class Outcome:
    """An answer with its one ledger record."""

    status: int
    text: str
    record: LedgerRecord
    headers: dict[str, str]
    body: str
    events: list[Any]


Ask = Callable[..., Outcome]


@pytest.fixture
def ask(caller: Person, caplog: pytest.LogCaptureFixture) -> Ask:
    """`ask(model=…, stream=…)`: asks and checks what holds for every answer: one record more, no lease, no key in
    answer or log, nothing but answers and errors in a stream."""
    caplog.set_level(logging.DEBUG, "sluice")

    def one(path: str = "/v1/chat/completions", **fields: Any) -> Outcome:
        headers = {**caller.api_token, **fields.pop("headers", {})}
        before = {record.request_id for record in records(caller)}
        asked = {**(caller.body if path == "/v1/chat/completions" else {}), "model": "assistant", **fields}
        answer = caller.client.post(path, json=asked, headers=headers)
        body = answer.get_data(as_text=True)
        new = [record for record in records(caller) if record.request_id not in before]
        assert len(new) == 1 and not caller.grant().leases
        assert new[0].request_id == answer.headers["x-sluice-request-id"]
        shown = f"{body} {answer.headers} {caplog.text}"
        assert not [key for key in KEYS.values() if key in shown]
        events = _events(body) if answer.mimetype == "text/event-stream" else []
        return Outcome(answer.status_code, _text(body, events), new[0], dict(answer.headers), body, events)

    return one


def records(person: Person) -> list[LedgerRecord]:
    found = person.store.client.scan(TableName=person.store.prefix + "ledger", ConsistentRead=True)["Items"]
    return [record_from(item) for item in found]


def _events(body: str) -> list[Any]:
    lines = [line for line in body.split("\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines), body
    found = [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]
    assert found and all(one.get("error") or isinstance(one["choices"], list) for one in found)
    return found


def _text(body: str, events: list[Any]) -> str:
    if events:
        choices = [choice for one in events for choice in one.get("choices", [])]
        return "".join((choice.get("delta") or {}).get("content") or "" for choice in choices)
    choices = json.loads(body).get("choices") or []
    return "".join(choice["message"]["content"] or "" for choice in choices if "message" in choice)
