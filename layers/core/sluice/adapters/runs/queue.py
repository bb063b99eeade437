"""The queue of runs: SQS on AWS, a folder of the data directory on one machine. A message is the ids, as JSON."""

import json
import secrets
import time
from pathlib import Path

from sluice.adapters.aws.json_service import JsonService, Refused, Service, Unanswered
from sluice.adapters.whole_files import write_whole
from sluice.domain.errors import StoreUnavailable

SPOOL = "runs-queue"
SQS = Service("sqs", "AmazonSQS", "1.0")


class SqsQueue:
    """`sluice.ports.runs.RunQueue`."""

    def __init__(self, url: str) -> None:
        self._url, self._client = url, JsonService(SQS)

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None:
        message = {"QueueUrl": self._url, "MessageBody": _body(account_id, run_id), "DelaySeconds": delay_seconds}
        try:
            self._client.call("SendMessage", message)
        except (Refused, Unanswered) as exc:
            raise StoreUnavailable() from exc


class FolderQueue:
    """`sluice.ports.runs.RunQueue`. A file's name begins with the time from which on it may be taken."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / SPOOL

    def put(self, account_id: str, run_id: str, delay_seconds: int = 0) -> None:
        due_ns = time.time_ns() + delay_seconds * 1_000_000_000
        name = f"{due_ns:020d}-{account_id.replace('.', '_')}-{secrets.token_hex(4)}.json"
        try:
            write_whole(self._folder / name, _body(account_id, run_id).encode())
        except OSError as exc:
            raise StoreUnavailable() from exc


def _body(account_id: str, run_id: str) -> str:
    return json.dumps({"account_id": account_id, "run_id": run_id})
