"""An old store on each engine: Dynoxide, which a local run uses, and Amazon's own DynamoDB Local where it is there."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.migrations import structure
from tests.integration.admission.engines import dynamodb_local, dynoxide, why_no_referee
from tests.integration.admission.world import slow_client
from tests.integration.migrate import old_store


@dataclass(frozen=True)
class Store:
    url: str
    prefix: str
    client: Any
    is_fast: bool = True  # making tables takes DynamoDB Local seconds

    def dump(self) -> dict[str, Any]:
        return old_store.dump(self.client, self.prefix)


@pytest.fixture(scope="package", params=["dynoxide", "dynamodb_local"])
def engine_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "dynoxide":
        with dynoxide() as url:
            yield url
        return
    if reason := why_no_referee():
        pytest.skip(reason)
    with dynamodb_local() as url:
        yield url


@pytest.fixture
def empty(engine_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(structure, "POLL_SECONDS", 0.05)
    client = slow_client(engine_url)
    yield Store(engine_url, f"m{secrets.token_hex(4)}-", client, is_fast="dynoxide" in request.node.name)
    client.close()


@pytest.fixture
def old(empty: Store) -> Store:
    old_store.build(empty.client, empty.prefix)
    return empty
