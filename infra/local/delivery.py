"""Hands a batch of stream records to a handler as Lambda does: partial batch responses, bisecting, bounded retries.

Every record ends handled or in the dead-letter file. While the store itself is away nothing counts as a try, so an
outage dead-letters nobody's mail.
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
    """The relay was told to end; what was not handled yet comes again at the next start."""


class DeadLetters:
    """One JSON line a record given up, with when and why."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def put(self, table: str, record: Record, reason: str) -> None:
        line = json.dumps({"at_ms": time.time_ns() // 1_000_000, "table": table, "reason": reason, "record": record})
        with self._file.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


class Delivery:
    """Of one table's records to one handler. `pause(seconds)` waits, and raises Stopping."""

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
        """`done(sequence_number)` after each stretch that is handled, in order. Raises Stopping."""
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
                size //= 2  # the handler fell over the whole batch: find the record it falls over
                continue
            attempts += self._counts(failure)
            if attempts >= MAX_ATTEMPTS:
                self._give_up(pending.pop(0), str(failure) or type(failure).__name__, done)
                size, attempts = len(pending), 0
                continue
            self._pause(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempts))

    def _try(self, batch: Sequence[Record]) -> tuple[int, Exception | str | None]:
        """How many from the front are handled, and why the next is not (None: all are)."""
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
        log.error("%s: record %s given up after %d tries: %s", self._table, record["eventID"], MAX_ATTEMPTS, reason)
        done(_sequence_number(record))


def _sequence_number(record: Record) -> str:
    return str(record["dynamodb"]["SequenceNumber"])
