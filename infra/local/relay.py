"""The relay of a local run: reads the store's streams and calls the event functions, as Lambda's mappings do on AWS.

One thread per table and function, so that slow mail delivery does not delay metering. The checkpoint is stored after
the handler returned, so delivery is in order and at least once.
"""

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from infra.local.checkpoint import Checkpoint
from infra.local.config import data_dir
from infra.local.delivery import DeadLetters, Delivery, Stopping
from infra.local.handlers import Handler, load
from infra.local.stop_signals import run_threads
from infra.local.stream import StreamReader
from sluice.adapters.aws.json_service import DYNAMODB, STREAMS, JsonService
from sluice.http.logging import configure

log = logging.getLogger("sluice.relay")

EVENTS = "functions.events"
HANDLERS = (
    ("mails", "functions.mailer"),
    ("ledger", "functions.metering"),
    *((table, EVENTS) for table in ("accounts", "tokens", "documents", "runs", "mails")),
)
POLL_SECONDS, EVENTS_POLL_SECONDS = 0.12, 1.0  # nobody waits at a screen for the second
FIRST_RECONNECT_SECONDS = 0.2
LONGEST_RECONNECT_SECONDS = 3.0
STOP_SECONDS = 0.8


class TableRelay:
    """Delivers one table's stream to one handler until `stopping` is set."""

    def __init__(
        self,
        table: str,
        handler: Handler,
        folder: Path,
        stopping: threading.Event,
        dynamodb: JsonService,
        streams: JsonService,
        place: str = "",
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """`place`: the name of its checkpoint, which is the table's where that has one reader."""
        self._table, self._folder, self._stopping = table, folder, stopping
        self._place, self._poll_seconds = place or table, poll_seconds
        self._dynamodb, self._streams = dynamodb, streams
        letters = DeadLetters(folder / "dead-letters.jsonl")
        self._delivery = Delivery(table, handler, letters, self._store_answers, self._pause)
        self._reader: StreamReader | None = None

    def run(self) -> None:
        """Read and deliver until Stopping. After any other error, reconnect."""
        wait = FIRST_RECONNECT_SECONDS
        try:
            while True:
                try:
                    self._once()
                    wait = FIRST_RECONNECT_SECONDS
                    self._pause(self._poll_seconds)
                except Stopping:
                    raise
                except Exception as exc:
                    log.warning("%s: the stream cannot be read, again in %.1f s: %s", self._table, wait, exc)
                    self._reader = None
                    self._pause(wait)
                    wait = min(LONGEST_RECONNECT_SECONDS, wait * 2)
        except Stopping:
            log.info("%s: stopped", self._table)

    def _once(self) -> None:
        if self._reader is None:
            self._reader, self._checkpoint = self._connect()
        for shard, records in self._reader.poll():
            self._delivery.deliver(records, partial(self._checkpoint.set, shard))

    def _connect(self) -> tuple[StreamReader, Checkpoint]:
        arn = self._dynamodb.call("DescribeTable", {"TableName": self._table})["Table"]["LatestStreamArn"]
        checkpoint = Checkpoint(self._folder / f"{self._place}.json", arn)
        return StreamReader(self._streams, arn, checkpoint), checkpoint

    def _store_answers(self) -> bool:
        try:
            self._dynamodb.call("DescribeTable", {"TableName": self._table})
        except Exception:
            return False
        return True

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopping


def start(
    stopping: threading.Event, folder: Path, load_handler: Callable[[str], Handler] = load
) -> list[threading.Thread]:
    prefix = os.environ.get("SLUICE_TABLE_PREFIX", "sluice-")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    threads, dynamodb, streams = [], JsonService(DYNAMODB), JsonService(STREAMS)  # which are thread-safe
    for table, package in HANDLERS:
        more = (f"{prefix}{table}-events", EVENTS_POLL_SECONDS) if package == EVENTS else ()
        relay = TableRelay(prefix + table, load_handler(package), folder, stopping, dynamodb, streams, *more)
        threads.append(threading.Thread(target=relay.run, name=table, daemon=True))
        threads[-1].start()
    return threads


def main() -> None:
    configure()
    # A handler that is cut off gets its records again at the next start, because they are not checkpointed.
    run_threads(lambda stopping: start(stopping, data_dir() / "relay"), STOP_SECONDS)


if __name__ == "__main__":
    main()
