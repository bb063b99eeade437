"""Fixtures for all kinds of tests."""

import gc
import os
import secrets
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from botocore.loaders import create_loader

from sluice.adapters.accounts import passwords
from tests.integration.gateway.admission import engines  # here: a folder of tests is called as the package it imports
from tests.rounds import FULL

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from sluice.adapters.aws.json_service import JsonService


LEAVES_LONG = "SLUICE_TESTS_LEAVE_LONG"
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # 2 s of CPU when jsonschema finds it


@dataclass(frozen=True)
class Store:
    """A store with every table, under its own table prefix."""

    url: str
    prefix: str
    client: "DynamoDBClient"


def pytest_configure(config: pytest.Config) -> None:
    """Only this process knows whether a path was named; the processes of xdist inherit what it says."""
    if not FULL and config.args_source is pytest.Config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput"):
        os.environ[LEAVES_LONG] = "1"


def pytest_report_header() -> str | None:
    reason = engines.why_no_referee()
    left = ["tests marked `long` are left to `make test-full`"] if LEAVES_LONG in os.environ else []
    return "\n".join([*left, *([f"the store's suite runs on Dynoxide only: {reason}"] if reason else [])]) or None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays. To search it for garbage takes a second of CPU, each of a hundred times."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests first, so that no process is left with one at the end. Long ones are left to `make test-full`, unless
    their path is named."""
    if LEAVES_LONG in os.environ:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def _service_models() -> Iterator[None]:
    """botocore reads a service's description once, not once a client: that is 0.15 s of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        yield


@pytest.fixture
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Password hashes that cost next to nothing, unless the test is marked `product_hashes`."""
    if request.node.get_closest_marker("product_hashes") is None:
        monkeypatch.setattr(passwords, "MEMORY_KIB", 8)
        monkeypatch.setattr(passwords, "TIME_COST", 1)


@pytest.fixture(scope="session")
def store_endpoint() -> Iterator[str]:
    """One in-memory engine for the session: Dynoxide, or Amazon's with `STORE_ENGINE=dynamodb_local`."""
    name = os.environ.get("STORE_ENGINE", "dynoxide")
    if name == "dynamodb_local":
        engines.need_referee()
    with {"dynoxide": engines.dynoxide, "dynamodb_local": engines.dynamodb_local}[name]() as url:
        yield url


@pytest.fixture(scope="session")
def store_clients(store_endpoint: str) -> Iterator[tuple["DynamoDBClient", "JsonService"]]:
    """botocore's client for what tests look at, and the small one, which makes their tables."""
    from botocore.session import get_session

    from sluice.adapters.aws.json_service import DYNAMODB, ORDINARY, JsonService

    # A second attempt to make a table is refused, so a busy store is waited for.
    patient = replace(ORDINARY, connect_seconds=60.0, read_seconds=60.0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(store_endpoint).items():
            patch.setenv(name, value)
        client = get_session().create_client("dynamodb", endpoint_url=store_endpoint)
        service = JsonService(DYNAMODB, patient, url=store_endpoint)
    yield client, service  # type: ignore[misc]
    client.close()
    service.close()


@pytest.fixture
def store(
    store_clients: tuple["DynamoDBClient", "JsonService"], cheap_hashes: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Fresh tables, and an environment in which the SDK and the settings find them.

    They are deleted after the test: with each table that the engine holds it makes the next one more slowly.
    """
    from tests import tables

    client, service = store_clients
    url = client.meta.endpoint_url
    prefix = f"t{secrets.token_hex(4)}-"
    for name, value in aws_environment(url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_TABLE_PREFIX", prefix)
    tables.create(service, prefix)
    yield Store(url, prefix, client)
    tables.drop(service, prefix)


def aws_environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
