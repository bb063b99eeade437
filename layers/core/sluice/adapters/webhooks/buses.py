"""Who else hears of domain events: EventBridge on AWS, a file of JSON lines on one machine."""

import fcntl
import json
from pathlib import Path
from typing import Any

from sluice.adapters.aws.json_service import JsonService, Refused, Service, Unanswered
from sluice.domain.errors import StoreUnavailable
from sluice.domain.events import SOURCE, DomainEvent

EVENTBRIDGE = Service("events", "AWSEvents", "1.1")
FILE, BEFORE = "events.jsonl", "events.1.jsonl"
MAX_FILE_BYTES = 16 * 1024 * 1024


class EventBridge:
    """`sluice.ports.webhooks.EventBus`. A change gives a few events, so one call takes all (it could take ten)."""

    def __init__(self, bus: str) -> None:
        self._bus, self._client = bus, JsonService(EVENTBRIDGE)

    def publish(self, events: list[DomainEvent]) -> None:
        entries: list[dict[str, Any]] = [
            {"EventBusName": self._bus, "Source": SOURCE, "DetailType": one.name, "Detail": one.model_dump_json()}
            for one in events
        ]
        try:
            answer = self._client.call("PutEvents", {"Entries": entries})
        except (Refused, Unanswered) as exc:
            raise StoreUnavailable() from exc
        if answer.get("FailedEntryCount"):
            raise StoreUnavailable("EventBridge did not take an event.")


class EventFile:
    """`sluice.ports.webhooks.EventBus`. The file before it is kept, so that readers can catch up."""

    def __init__(self, data_dir: Path) -> None:
        self._file, self._before = data_dir / FILE, data_dir / BEFORE

    def publish(self, events: list[DomainEvent]) -> None:
        lines = "".join(json.dumps({"type": one.name, **one.model_dump()}) + "\n" for one in events)
        try:
            with self._file.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(lines)
                file.flush()
                if file.tell() > MAX_FILE_BYTES:
                    self._file.replace(self._before)
        except OSError as exc:
            raise StoreUnavailable() from exc
