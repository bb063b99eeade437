"""The account side on the session's store; each test has its own tables and keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.factors import app as factors
from functions.tokens import app as tokens
from sluice.adapters.tokens.keys import ensure_keys
from sluice.http.app import create_app
from tests.conftest import Store
from tests.integration.accounts.world import World, forget_everything
from tests.integration.operations.town import town

__all__ = ["town"]


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_AUTH_THROTTLE": "off",
        "SLUICE_BASE_URL": "http://127.0.0.1:8080",
    }.items():
        monkeypatch.setenv(name, value)
    forget_everything()
    ensure_keys(tmp_path)
    app = create_app([accounts.blueprint, factors.blueprint, tokens.blueprint])
    yield World(app, app.test_client(use_cookies=False))
    forget_everything()
