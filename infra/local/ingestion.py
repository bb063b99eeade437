"""The queue of a local run's uploads: calls `functions/ingestion` with each event of the spool, as SQS does on AWS.

An event is a file, which is deleted after the handler succeeded (at-least-once delivery). After MAX_TRIES it is
moved to the dead letters. Its name counts the tries and changes before each, so that a crash counts as a try.
"""

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.local import schedule
from infra.local.config import data_dir
from infra.local.handlers import Handler, load
from infra.local.stop_signals import run_threads
from sluice.adapters.documents.blobs_folder import BUCKET, SPOOL
from sluice.http.logging import configure

log = logging.getLogger("sluice.ingestion")

WORKERS = 2
POLL_SECONDS = 0.1
SWEEP_EVERY_SECONDS = 60.0
LONGEST_DELAY_NS = 60 * 10**9  # no message is sent for later than this
MAX_TRIES = 8
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
STOP_SECONDS = 0.8
DEAD = "dead-letters"
MOST_SERVED = 10_000
"""Accounts whose last turn is remembered."""


class Spool:
    """The waiting events, oldest first, each given to one worker at a time.

    The account served longest ago is next, and one without a worker before one that has one. So an account waits for
    one file of each other account at most.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._served: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    def take(self) -> Path | None:
        """The next event, renamed to count one more try; None when there is none."""
        with self._lock:
            busy = {owner(stem) for stem in self._taken}
            free = {path: owner(stem_of(path)) for path in sorted(self._folder.glob("*.json"))}
            free = {path: account for path, account in free.items() if self._is_free(stem_of(path))}
            if not free:
                return None
            chosen = min(free, key=lambda path: (free[path] in busy, self._served.get(free[path], 0.0)))
            counted = self._counted(chosen)
            self._taken.add(stem_of(counted))
            self._served[free[chosen]] = time.monotonic()
            if len(self._served) > MOST_SERVED:
                del self._served[min(self._served, key=self._served.__getitem__)]
            return counted

    def _is_free(self, stem: str) -> bool:
        ahead_ns = due_ns(stem) - time.time_ns()
        is_due = not 0 < ahead_ns <= LONGEST_DELAY_NS  # further ahead: the clock was set back since it was written
        return is_due and self._not_before.get(stem, 0.0) <= time.monotonic() and stem not in self._taken

    def _counted(self, path: Path) -> Path:
        counted = path.with_name(f"{stem_of(path)}.{tries(path) + 1}.json")
        return path.rename(counted)

    def done(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._release(path, 0.0)

    def again(self, path: Path) -> None:
        """Try again later. After MAX_TRIES move it to the dead letters; the sweep then marks its file as failed."""
        if tries(path) >= MAX_TRIES:
            (self._folder / DEAD).mkdir(mode=0o700, exist_ok=True)
            path.rename(self._folder / DEAD / path.name)
            log.error("event %s failed %d times and went to the dead letters", path.name, MAX_TRIES)
            self._release(path, 0.0)
        else:
            self._release(path, min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** tries(path)))

    def _release(self, path: Path, seconds: float) -> None:
        stem = stem_of(path)
        with self._lock:
            self._taken.discard(stem)
            self._not_before.pop(stem, None)
            if seconds:
                self._not_before[stem] = time.monotonic() + seconds


def stem_of(path: Path) -> str:
    return path.name.split(".")[0]


def owner(stem: str) -> str:
    """`TIME-ACCOUNT-RANDOM` → the account."""
    return stem.partition("-")[2].rpartition("-")[0]


def due_ns(stem: str) -> int:
    """The time in a name, which may be later than when it was written."""
    due = stem.partition("-")[0]
    return int(due) if due.isdigit() else 0


def tries(path: Path) -> int:
    """`STEM.json` → 0, `STEM.3.json` → 3."""
    parts = path.name.split(".")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


def message(path: Path) -> dict[str, Any]:
    """One SQS message with the S3 event as its body."""
    stem = stem_of(path)
    return {
        "messageId": stem,
        "receiptHandle": stem,
        "body": path.read_text(),
        "attributes": {"ApproximateReceiveCount": str(tries(path))},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def work(spool: Spool, handler: Handler, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            worked = step(spool, handler)
        except Exception:  # such as a full disk or a deleted spool file: the thread must go on
            log.exception("the spool cannot be processed; the worker tries again")
            worked = False
        if not worked:
            stopping.wait(POLL_SECONDS)


def step(spool: Spool, handler: Handler) -> bool:
    """Handle one event. Returns False when there is none."""
    path = spool.take()
    if path is None:
        return False
    try:
        answer = handler({"Records": [message(path)]}, None)
        failed = bool((answer or {}).get("batchItemFailures"))
    except Exception:
        log.exception("the handler failed on %s", path.name)
        failed = True
    (spool.again if failed else spool.done)(path)
    return True


def start(stopping: threading.Event, folder: Path, handler: Handler) -> list[threading.Thread]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in (folder, folder.with_name(BUCKET)):
        clear_drafts(place)
    spool = Spool(folder)
    threads = [threading.Thread(target=work, args=(spool, handler, stopping), daemon=True) for _ in range(WORKERS)]
    threads.append(
        threading.Thread(target=schedule.run, args=(handler, SWEEP_EVERY_SECONDS, stopping.wait), daemon=True)
    )
    for thread in threads:
        thread.start()
    return threads


def clear_drafts(folder: Path) -> None:
    """Delete drafts that are over an hour old, because their writers have died."""
    for draft in folder.rglob("*.part"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > 3600:
                draft.unlink()


def main() -> None:
    configure()
    # A handler that is cut off is called again at the next start, because its file is still in the spool.
    run_threads(lambda stopping: start(stopping, data_dir() / SPOOL, load("functions.ingestion")), STOP_SECONDS)


if __name__ == "__main__":
    main()
