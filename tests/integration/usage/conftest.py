"""One store for these tests, in memory; each test has its own tables and keys."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.metering import app as metering
from functions.sweeper import app as sweeper
from functions.usage import app as usage
from infra.setup.store import binary
from sluice.adapters import dynamo
from sluice.adapters.keys import ensure_keys
from sluice.adapters.tables import create_missing
from sluice.http.app import create_app
from tests.integration.accounts.world import forget_everything, free_port, running_store
from tests.integration.usage.world import UsageWorld

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def store_endpoint() -> Iterator[str]:
    with running_store(binary(ROOT / ".tools"), free_port()) as endpoint:
        yield endpoint


def _forget() -> None:
    forget_everything()
    for cached in (metering._metering, sweeper._sweeper):
        cached.cache_clear()


@pytest.fixture
def world(store_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsageWorld]:
    prefix = f"t{secrets.token_hex(4)}-"
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": store_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SLUICE_TABLE_PREFIX": prefix,
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_AUTH_THROTTLE": "off",
    }.items():
        monkeypatch.setenv(name, value)
    _forget()
    ensure_keys(tmp_path)
    create_missing(dynamo.client(), prefix)
    app = create_app([accounts.blueprint, usage.blueprint])
    yield UsageWorld(app, app.test_client(use_cookies=False))
    _forget()
