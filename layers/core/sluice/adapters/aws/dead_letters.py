"""Failed events: in a file on one machine, in an SQS queue for each event source on AWS."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sluice.domain.errors import StoreUnavailable

FILE = Path("relay", "dead-letters.jsonl")  # below the data directory; the relay writes one line for each event
TIMEOUT_SECONDS = 3
WAITING = "ApproximateNumberOfMessages"


class DeadLetterFile:
    """`sluice.ports.DeadLetters`."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE

    def waiting(self) -> dict[str, int]:
        try:
            with self._file.open("rb") as file:
                return {FILE.name: sum(1 for _ in file)}
        except FileNotFoundError:
            return {FILE.name: 0}
        except OSError as exc:
            raise StoreUnavailable() from exc


@cache
def _client() -> Any:
    from boto3.session import Session
    from botocore.config import Config

    patience = Config(connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"max_attempts": 1})
    return Session().client("sqs", config=patience)


class DeadLetterQueues:
    """`sluice.ports.DeadLetters`. SQS's counts are approximate and become exact within a minute."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls

    def waiting(self) -> dict[str, int]:
        return {url.rpartition("/")[2]: self._count(url) for url in self._urls}

    def _count(self, url: str) -> int:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = _client().get_queue_attributes(QueueUrl=url, AttributeNames=[WAITING])
        except (BotoCoreError, ClientError) as exc:
            raise StoreUnavailable() from exc
        return int(answer["Attributes"][WAITING])
