"""A person with webhooks, a receiver on this machine, and the streams and the queue worked off by hand."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from functions.events.app import handler
from functions.webhooks import app as webhooks
from infra.local.checkpoint import Checkpoint
from infra.local.relay import EVENTS, HANDLERS
from infra.local.stream import StreamReader
from sluice import settings
from sluice.adapters import outgoing
from sluice.adapters.aws.json_service import STREAMS, JsonService
from sluice.adapters.runs.queue import WEBHOOK_SPOOL
from sluice.adapters.webhooks import sender
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.http.accounts import visitor
from sluice.services.operations.admin import Actor
from sluice.wiring import peers
from sluice.wiring.settings import owners_terms
from tests.conftest import Store
from tests.fakes.http_server import ScriptedServer, answer, scripted_server
from tests.integration.gateway.conftest import Person, newcomer, person, world  # noqa: F401  (fixtures)

PATIENT = outgoing.Bounds(connect_seconds=60.0, seconds=60.0, most_bytes=0)
TABLES = tuple(table for table, package in HANDLERS if package == EVENTS)


@dataclass
class Machine:
    """Does what relay, worker and sweeper do, when a test says so."""

    store: Store
    folder: Path
    place: Path
    readers: dict[str, StreamReader] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = JsonService(STREAMS)
        for table in TABLES:
            described: Any = self.store.client.describe_table(TableName=self.store.prefix + table)["Table"]
            arn = described["LatestStreamArn"]
            self.readers[table] = StreamReader(self.streams, arn, Checkpoint(self.place / f"{table}.json", arn))

    def records(self) -> list[dict[str, Any]]:
        """Those of all tables since the last time."""
        found: list[dict[str, Any]] = []
        for reader in self.readers.values():
            while new := [record for _, records in reader.poll() for record in records]:
                found += new
        return found

    def relay(self) -> None:
        assert handler({"Records": self.records()}, None) == {"batchItemFailures": []}

    def messages(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / WEBHOOK_SPOOL).glob("*.json"))
        bodies = [file.read_text() for file in files]
        for file in files:
            file.unlink()
        return [{"messageId": file.name, "body": body} for file, body in zip(files, bodies, strict=True)]

    def work(self) -> None:
        """Once for each message that is there, whenever it is due."""
        for message in self.messages():
            assert handler({"Records": [message]}, None) == {"batchItemFailures": []}

    def events(self) -> list[dict[str, Any]]:
        """Published so far, on one machine."""
        file = self.folder / "events.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that answers at all is waited for, because this machine may be slow."""
    monkeypatch.setattr(sender, "BOUNDS", PATIENT)


@pytest.fixture
def clock(world: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:  # noqa: F811
    """Moves the clock of webhooks ahead, by milliseconds. By itself it goes on by one with each look, so that nothing
    becomes due or dead because this machine is slow."""
    ahead, looks, began_ms = [0], count(1), peers.now_ms()
    for place in (peers, webhooks, visitor):
        monkeypatch.setattr(place, "now_ms", lambda: began_ms + next(looks) + ahead[0])

    def move(by_ms: int) -> None:
        ahead[0] += by_ms

    return move


@pytest.fixture
def machine(
    clock: Any,
    store: Store,
    person: Person,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machine]:
    monkeypatch.setenv("SLUICE_LOCAL", "on")
    for cached in (settings.common, settings.events):
        cached.cache_clear()
    place = tmp_path / "checkpoints"
    place.mkdir()
    made = Machine(store, tmp_path, place)
    yield made
    made.streams.close()


@pytest.fixture
def inside() -> None:
    """The owner lets webhooks lead into the house."""
    owners_terms().change(Actor(OPERATOR), 0, check({"webhooks": {"allow_private": True}}), 1)


@pytest.fixture
def receiver(inside: None) -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        server.script(answer())
        yield server


@dataclass
class Hook:
    person: Person
    id: str
    secret: str

    def call(self, method: str, path: str = "", **arguments: Any) -> Any:
        return self.person.call(method, f"/webhooks/{self.id}{path}", **arguments)

    def deliveries(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/deliveries").json["data"])

    def info(self) -> dict[str, Any]:
        return dict(self.call("GET").json)


def hooked(person: Person, url: str, *events: str) -> Hook:  # noqa: F811
    made = person.call("POST", "/webhooks", json={"url": url, "events": events or ["response.completed"]})
    assert made.status_code == 201, made.json
    return Hook(person, made.json["id"], made.json["secret"])


@pytest.fixture
def hook(person: Person, receiver: ScriptedServer, machine: Machine) -> Hook:  # noqa: F811
    machine.relay()
    return hooked(person, receiver.url + "/hook")
