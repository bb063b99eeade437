"""The stack that `make test-localstack` deployed, and the mail catcher beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from infra.aws import localstack
from tests.e2e.people import TIMEOUT_SECONDS
from tests.e2e.place import Stack, kind_of, own_environment


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """It is left running. Errors: localstack.Missing, botocore's where nothing answers."""
    clients = localstack.connect()
    yield Stack(localstack.address(clients), own_environment() | localstack.keys(clients), mails_to)


def mails_to(address: str, url: str = localstack.MAILS_URL) -> list[dict[str, Any]]:
    """Mailpit's mails to this address, newest first."""
    found = _get(f"{url}/api/v1/search", query=f'to:"{address}"')["messages"]
    wholes = [_get(f"{url}/api/v1/message/{one['ID']}") for one in found]
    return [{"kind": kind_of(one["Subject"]), "subject": one["Subject"], "text": one["Text"]} for one in wholes]


def _get(url: str, **query: str) -> Any:
    answer = requests.get(url, params=query, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    return answer.json()
