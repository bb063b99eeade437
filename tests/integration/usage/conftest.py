"""The usage side on the session's store; each test has its own tables and keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.usage import app as usage
from sluice.adapters.tokens.keys import ensure_keys
from sluice.http.app import create_app
from tests.conftest import Store
from tests.integration.accounts.world import forget_everything
from tests.integration.usage.world import UsageWorld


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsageWorld]:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_AUTH_THROTTLE", "off")
    forget_everything()
    ensure_keys(tmp_path)
    app = create_app([accounts.blueprint, usage.blueprint])
    yield UsageWorld(app, app.test_client(use_cookies=False))
    forget_everything()
