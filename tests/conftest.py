"""Fixtures for all kinds of tests."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway.admission import engines  # imported at the top: a test folder has the name of a package

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Store:
    """A store with every table, under its own table prefix."""

    url: str
    prefix: str
    client: "DynamoDBClient"


@pytest.fixture(scope="session")
def store_endpoint() -> Iterator[str]:
    """One in-memory engine for the session: Dynoxide, or Amazon's with `STORE_ENGINE=dynamodb_local`."""
    name = os.environ.get("STORE_ENGINE", "dynoxide")
    if name == "dynamodb_local" and (reason := engines.why_no_referee()):
        (pytest.fail if os.environ.get("SUITE_REQUIRED") == "1" else pytest.skip)(reason)
    with {"dynoxide": engines.dynoxide, "dynamodb_local": engines.dynamodb_local}[name]() as url:
        yield url


@pytest.fixture
def store(store_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """New tables, and environment variables by which the SDK and the settings find them."""
    from botocore.session import get_session

    from sluice.adapters.aws.tables import create_missing

    prefix = f"t{secrets.token_hex(4)}-"
    for name, value in aws_environment(store_endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_TABLE_PREFIX", prefix)
    client = get_session().create_client("dynamodb", endpoint_url=store_endpoint)
    create_missing(client, prefix)  # type: ignore[arg-type]
    yield Store(store_endpoint, prefix, client)  # type: ignore[arg-type]
    client.close()  # else their garbage collection warns about open sockets in another test


def aws_environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
