"""An old store on Dynoxide, which a local run uses, and for one test on DynamoDB Local if it is installed."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.gateway.admission.engines import dynamodb_local, dynoxide, need_referee
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store


@dataclass(frozen=True)
class Store:
    url: str
    prefix: str
    client: Any

    def dump(self) -> dict[str, Any]:
        return old_store.dump(self.client, self.prefix)


@pytest.fixture(scope="package")
def engine_url() -> Iterator[str]:
    with dynoxide() as url:
        yield url


@pytest.fixture
def empty(engine_url: str) -> Iterator[Store]:
    yield from _store(engine_url)


@pytest.fixture
def old(empty: Store) -> Store:
    old_store.build(empty.client, empty.prefix)
    return empty


@pytest.fixture
def old_on_referee() -> Iterator[Store]:
    """For one test only, because DynamoDB Local takes up to half a minute to add an index."""
    need_referee()
    with dynamodb_local() as url:
        for store in _store(url):
            old_store.build(store.client, store.prefix)
            yield store


def _store(url: str) -> Iterator[Store]:
    client = slow_client(url)
    yield Store(url, f"m{secrets.token_hex(4)}-", client)
    client.close()
