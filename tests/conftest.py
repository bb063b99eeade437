"""What every kind of test may use."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway.admission import engines  # here: a folder of tests is called as the package it imports

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Store:
    """A store with every table, under a prefix of its own."""

    url: str
    prefix: str
    client: "DynamoDBClient"


@pytest.fixture(scope="session")
def store_endpoint() -> Iterator[str]:
    """One engine in memory for the whole session: Dynoxide, or `STORE_ENGINE=dynamodb_local`, Amazon's own."""
    name = os.environ.get("STORE_ENGINE", "dynoxide")
    if name == "dynamodb_local" and (reason := engines.why_no_referee()):
        (pytest.fail if os.environ.get("SUITE_REQUIRED") == "1" else pytest.skip)(reason)
    with {"dynoxide": engines.dynoxide, "dynamodb_local": engines.dynamodb_local}[name]() as url:
        yield url


@pytest.fixture
def store(store_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Fresh tables, and an environment in which the SDK and the settings find them."""
    from botocore.session import get_session

    from sluice.adapters.aws.models import create_missing

    prefix = f"t{secrets.token_hex(4)}-"
    for name, value in aws_environment(store_endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_TABLE_PREFIX", prefix)
    client = get_session().create_client("dynamodb", endpoint_url=store_endpoint)
    create_missing(client, prefix)  # type: ignore[arg-type]
    yield Store(store_endpoint, prefix, client)  # type: ignore[arg-type]
    client.close()  # else its sockets are found open by whichever test runs when they are collected


def aws_environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
