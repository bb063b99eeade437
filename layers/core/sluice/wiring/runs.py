"""Runs, bound to their stores once a process, by the functions that submit, execute and sweep them."""

from __future__ import annotations  # only the type checker needs the ports, and importing them slows a cold start

from typing import TYPE_CHECKING

from sluice import settings
from sluice.domain.batches import place_of, slice_name
from sluice.once import once
from sluice.wiring import documents, peers, stores

if TYPE_CHECKING:
    from sluice.ports.runs import RunQueue
    from sluice.services.batches import Batches
    from sluice.services.repeats import Repeats
    from sluice.services.runs import Runs


@once
def queue() -> RunQueue:
    """A queue of SQS on AWS; a folder of the data directory on one machine."""
    from sluice.adapters.runs.queue import SPOOL

    return _queue(settings.common().run_queue_url, SPOOL)


@once
def batch_queue() -> RunQueue:
    """Another one, so that a batch does not hold up a background response."""
    from sluice.adapters.runs.queue import BATCH_SPOOL

    return _queue(settings.common().batch_queue_url, BATCH_SPOOL)


def _queue(url: str, spool: str) -> RunQueue:
    from sluice.adapters.runs.queue import FolderQueue, SqsQueue

    return SqsQueue(url) if url else FolderQueue(settings.common().data_dir / spool)


def send_again(account_id: str, request_id: str, *, is_row: bool) -> None:
    """What a dead process executed. Errors: StoreUnavailable."""
    if is_row:
        batch_queue().put(account_id, slice_name(*place_of(request_id)))
    else:
        queue().put(account_id, request_id)


@once
def batches() -> Batches:
    from sluice.adapters.runs.batches import DynamoBatches
    from sluice.services.batches import Batches

    hot = stores.hot_store()
    rows = DynamoBatches(hot.call, settings.common().table_prefix)  # type: ignore[attr-defined]  # as in `runs`
    told = (stores.file_store(), stores.blobs(), batch_queue(), peers.now_ms, documents.storage_bytes)
    return Batches(rows, *told)


@once
def runs() -> Runs:
    from sluice.adapters.runs.events import BlobEvents
    from sluice.adapters.runs.rows import DynamoRuns
    from sluice.services.runs import Runs

    hot = stores.hot_store()
    rows = DynamoRuns(hot.call, settings.common().table_prefix)  # type: ignore[attr-defined]  # the adapter's, no port's
    return Runs(rows, queue(), BlobEvents(stores.blobs()), hot, peers.now_ms)


@once
def repeats() -> Repeats:
    from sluice.adapters.runs.keys import BlobAnswers, DynamoClaims
    from sluice.services.repeats import Repeats

    hot = stores.hot_store()
    claims = DynamoClaims(hot.call, settings.common().table_prefix)  # type: ignore[attr-defined]  # as in `runs`
    return Repeats(claims, BlobAnswers(stores.blobs()), hot, peers.now_ms)
