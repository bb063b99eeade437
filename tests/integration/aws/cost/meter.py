"""The capacity units that each call consumed, by table, as the store reports them.

Dynoxide counts as AWS documents it, indexes and transactions included.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sluice.adapters.aws import model_store
from sluice.adapters.aws.json_service import JsonService

READS = ("GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems")
ASK = {"ReturnConsumedCapacity": "INDEXES"}


@dataclass
class Meter:
    prefix: str
    calls: int = 0
    writes: Counter[str] = field(default_factory=Counter)  # units by table
    reads: Counter[str] = field(default_factory=Counter)

    def note(self, operation: str, answer: dict[str, Any]) -> None:
        self.calls += 1
        told = answer.get("ConsumedCapacity", [])
        for one in told if isinstance(told, list) else [told]:
            units = self.reads if operation in READS else self.writes
            units[one["TableName"].removeprefix(self.prefix)] += one["CapacityUnits"]

    def told(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "write_units": round(sum(self.writes.values()), 1),
            "read_units": round(sum(self.reads.values()), 1),
            "written": {table: round(units, 1) for table, units in sorted(self.writes.items()) if units},
        }


@contextmanager
def metered(prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """Both clients: the small one and the models' one."""
    meter = Meter(prefix)
    real = JsonService.call

    def call(self: JsonService, operation: str, request: dict[str, Any], **options: Any) -> dict[str, Any]:
        answer = real(self, operation, {**request, **ASK}, **options)
        meter.note(operation, answer)
        return answer

    def before(params: dict[str, Any], **_: Any) -> None:
        params.update(ASK)

    def after(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        meter.note(model.name, parsed)

    events = model_store.client().meta.events
    with monkeypatch.context() as patched:
        patched.setattr(JsonService, "call", call)
        events.register("before-parameter-build.dynamodb", before)
        events.register("after-call.dynamodb", after)
        yield meter
        events.unregister("before-parameter-build.dynamodb", before)
        events.unregister("after-call.dynamodb", after)
