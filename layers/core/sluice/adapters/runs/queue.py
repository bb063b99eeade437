"""Queues of runs, batches and webhooks: SQS on AWS, folders of the data directory on one machine. A message is JSON."""

import hashlib
import json
import os
import time
from pathlib import Path

from sluice.adapters.aws.json_service import JsonService, Refused, Service, Unanswered
from sluice.adapters.whole_files import write_whole
from sluice.domain.errors import StoreUnavailable

SPOOL, BATCH_SPOOL, WEBHOOK_SPOOL = "runs-queue", "batches-queue", "webhooks-queue"
SQS = Service("sqs", "AmazonSQS", "1.0")


class SqsQueue:
    """`sluice.ports.runs.RunQueue`."""

    def __init__(self, url: str) -> None:
        self._url, self._client = url, JsonService(SQS)

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None:
        self._call("SendMessage", MessageBody=_body(account_id, run_id), DelaySeconds=delay_seconds)

    def hold(self, receipt: str, seconds: int) -> None:
        self._call("ChangeMessageVisibility", ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def _call(self, operation: str, **told: str | int) -> None:
        try:
            self._client.call(operation, {"QueueUrl": self._url, **told})
        except (Refused, Unanswered) as exc:
            raise StoreUnavailable() from exc


class FolderQueue:
    """`sluice.ports.runs.RunQueue`. A file's name begins with the time from which on it may be taken, and ends with a
    hash of what it names. Nothing is put where the same waits that nobody has taken yet, because messages only say
    where to look, and the sweeper repeats them for as long as a lease is dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None:
        due_ns = time.time_ns() + delay_seconds * 1_000_000_000
        mark = hashlib.blake2b(run_id.encode(), digest_size=8).hexdigest()
        named = f"-{account_id.replace('.', '_')}-{mark}.json"
        name = f"{due_ns:020d}{named}"
        try:
            if self._folder.exists() and any(other.endswith(named) for other in os.listdir(self._folder)):
                return
            write_whole(self._folder / name, _body(account_id, run_id).encode())
        except OSError as exc:
            raise StoreUnavailable() from exc

    def hold(self, receipt: str, seconds: int) -> None:
        """A spool knows by a lock whether who took a message lives."""


def _body(account_id: str, run_id: str) -> str:
    return json.dumps({"account_id": account_id, "run_id": run_id})
