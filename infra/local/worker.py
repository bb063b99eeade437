"""The queues of a local run: calls `functions/worker` with each background response, and `functions/events` with each
webhook for which something waits, as SQS does on AWS.

A message may be due later than it was sent. See `infra.local.ingestion` for how its spool delivers.
"""

import threading
from functools import partial
from pathlib import Path
from typing import Any

from infra.local.config import data_dir
from infra.local.handlers import Handler, load
from infra.local.ingestion import Spool, clear_drafts, work
from infra.local.stop_signals import run_threads
from sluice.adapters.runs.queue import BATCH_SPOOL, SPOOL, WEBHOOK_SPOOL
from sluice.http.logging import configure

RUNS_AT_ONCE, SLICES_AT_ONCE, WEBHOOKS_AT_ONCE = 4, 8, 4
STOP_SECONDS = 0.8


def start(
    stopping: threading.Event, folder: Path, handler: Handler, at_once: int = RUNS_AT_ONCE
) -> list[threading.Thread]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clear_drafts(folder)
    spool = Spool(folder)
    threads = [threading.Thread(target=work, args=(spool, handler, stopping), daemon=True) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    return threads


def _handler(package: str, event: dict[str, Any], context: object) -> Any:
    """Loads the function with the first message, so that a machine without background responses keeps its memory."""
    return load(package)(event, context)


def main() -> None:
    configure()
    # What is cut off is brought again by the sweeper: a run when its lease has expired, a webhook when its claim has.
    run_threads(_start, STOP_SECONDS)


def _start(stopping: threading.Event) -> list[threading.Thread]:
    runs, webhooks = partial(_handler, "functions.worker"), partial(_handler, "functions.events")
    return [
        *start(stopping, data_dir() / WEBHOOK_SPOOL, webhooks, WEBHOOKS_AT_ONCE),
        *start(stopping, data_dir() / BATCH_SPOOL, runs, SLICES_AT_ONCE),
        *start(stopping, data_dir() / SPOOL, runs),
    ]


if __name__ == "__main__":
    main()
