"""Delivers stream records to a handler as Lambda does: partial batch responses, bisecting, bounded retries.

Each record is handled or goes to the dead-letter file. Attempts during an outage of the store do not count, so that an
outage sends no record to that file.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.local.handlers import Handler
from sluice.domain.errors import Unavailable

log = logging.getLogger("sluice.relay")
Record = dict[str, Any]

MAX_ATTEMPTS = 8
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 15.0


class Stopping(Exception):
    """The relay is stopping. Records that are not handled yet are delivered at the next start."""


IMAGES = ("NewImage", "OldImage")


class DeadLetters:
    """A file of failed records: one JSON line each, with time and reason. Not with images of items, because those of
    accounts hold more than a file should."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def put(self, table: str, record: Record, reason: str) -> None:
        change = {name: value for name, value in record["dynamodb"].items() if name not in IMAGES}
        about = {"at_ms": time.time_ns() // 1_000_000, "table": table, "reason": reason}
        line = json.dumps({**about, "record": {**record, "dynamodb": change}})
        with self._file.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


class Delivery:
    """Delivers the records of one table to one handler. `pause(seconds)` waits, or raises Stopping."""

    def __init__(
        self,
        table: str,
        handler: Handler,
        dead_letters: DeadLetters,
        store_answers: Callable[[], bool],
        pause: Callable[[float], None],
    ) -> None:
        self._table, self._handler, self._dead_letters = table, handler, dead_letters
        self._store_answers, self._pause = store_answers, pause

    def deliver(self, records: Sequence[Record], done: Callable[[str], None]) -> None:
        """Calls `done(sequence_number)` after each handled part of `records`, in order. Raises Stopping."""
        pending = list(records)
        size, attempts = len(pending), 0
        while pending:
            batch = pending[:size]
            handled, failure = self._try(batch)
            if handled:
                done(_sequence_number(batch[handled - 1]))
                pending = pending[handled:]
                attempts = 0
            if failure is None:
                size = len(pending)
                continue
            if handled == 0 and size > 1 and isinstance(failure, Exception):
                size //= 2  # the handler failed on the batch: bisect to find the record that fails
                continue
            attempts += self._counts(failure)
            if attempts >= MAX_ATTEMPTS:
                self._give_up(pending.pop(0), str(failure) or type(failure).__name__, done)
                size, attempts = len(pending), 0
                continue
            self._pause(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempts))

    def _try(self, batch: Sequence[Record]) -> tuple[int, Exception | str | None]:
        """The number of handled records from the front, and why the next one failed (None: all were handled)."""
        try:
            answer = self._handler({"Records": list(batch)}, None)
        except Exception as exc:
            log.exception("%s: the handler failed on %d records", self._table, len(batch))
            return 0, exc
        named = {item.get("itemIdentifier") for item in (answer or {}).get("batchItemFailures", ())}
        for place, record in enumerate(batch):
            if _sequence_number(record) in named:
                return place, "the handler reported it as failed"
        if named:  # an empty or unknown identifier means the whole batch, as on Lambda
            return 0, "the handler reported the batch as failed"
        return len(batch), None

    def _counts(self, failure: Exception | str) -> bool:
        if isinstance(failure, Unavailable):
            return False
        return self._store_answers()

    def _give_up(self, record: Record, reason: str, done: Callable[[str], None]) -> None:
        self._dead_letters.put(self._table, record, reason)
        log.error(
            "%s: record %s failed %d times and went to the dead-letter file: %s",
            self._table,
            record["eventID"],
            MAX_ATTEMPTS,
            reason,
        )
        done(_sequence_number(record))


def _sequence_number(record: Record) -> str:
    return str(record["dynamodb"]["SequenceNumber"])
