"""One store for these tests, in memory; each test has its own tables and keys."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.tokens import app as tokens
from infra.setup.store import binary
from sluice.adapters import dynamo
from sluice.adapters.keys import ensure_keys
from sluice.adapters.tables import create_missing
from sluice.http.app import create_app
from tests.integration.accounts.world import World, forget_everything, free_port, running_store

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def store_endpoint() -> Iterator[str]:
    with running_store(binary(ROOT / ".tools"), free_port()) as endpoint:
        yield endpoint


@pytest.fixture
def world(store_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
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
        "SLUICE_BASE_URL": "http://127.0.0.1:8080",
    }.items():
        monkeypatch.setenv(name, value)
    forget_everything()
    ensure_keys(tmp_path)
    create_missing(dynamo.client(), prefix)
    app = create_app([accounts.blueprint, tokens.blueprint])
    yield World(app, app.test_client(use_cookies=False))
    forget_everything()
