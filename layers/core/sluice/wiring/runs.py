"""Runs, bound to their stores once a process, by the functions that submit, execute and sweep them."""

from __future__ import annotations  # only the type checker needs the ports, and importing them slows a cold start

from typing import TYPE_CHECKING

from sluice import settings
from sluice.once import once
from sluice.wiring import peers, stores

if TYPE_CHECKING:
    from sluice.ports.runs import RunQueue
    from sluice.services.runs import Runs


@once
def queue() -> RunQueue:
    """A queue of SQS on AWS; a folder of the data directory on one machine."""
    from sluice.adapters.runs.queue import FolderQueue, SqsQueue

    url = settings.common().run_queue_url
    return SqsQueue(url) if url else FolderQueue(settings.common().data_dir)


@once
def runs() -> Runs:
    from sluice.adapters.runs.events import BlobEvents
    from sluice.adapters.runs.rows import DynamoRuns
    from sluice.services.runs import Runs

    hot = stores.hot_store()
    rows = DynamoRuns(hot.call, settings.common().table_prefix)  # type: ignore[attr-defined]  # the adapter's, no port's
    return Runs(rows, queue(), BlobEvents(stores.blobs()), hot, peers.now_ms)
