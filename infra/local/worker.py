"""The queue of a local run's background responses: calls `functions/worker` with each message, as SQS does on AWS.

A message may be due later than it was sent. See `infra.local.ingestion` for how its spool delivers.
"""

import threading
from pathlib import Path
from typing import Any

from infra.local.config import data_dir
from infra.local.handlers import Handler, load
from infra.local.ingestion import Spool, clear_drafts, work
from infra.local.stop_signals import run_threads
from sluice.adapters.runs.queue import SPOOL
from sluice.http.logging import configure

RUNS_AT_ONCE = 4
STOP_SECONDS = 0.8


def start(stopping: threading.Event, folder: Path, handler: Handler) -> list[threading.Thread]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clear_drafts(folder)
    spool = Spool(folder)
    threads = [threading.Thread(target=work, args=(spool, handler, stopping), daemon=True) for _ in range(RUNS_AT_ONCE)]
    for thread in threads:
        thread.start()
    return threads


def _handler(event: dict[str, Any], context: object) -> Any:
    """Loads the function with the first message, so that a machine without background responses keeps its memory."""
    return load("functions.worker")(event, context)


def main() -> None:
    configure()
    # A run that is cut off is taken over when its lease has expired: the sweeper sends it again.
    run_threads(lambda stopping: start(stopping, data_dir() / SPOOL, _handler), STOP_SECONDS)


if __name__ == "__main__":
    main()
