"""Registration on the session's store; each test has its own tables, keys and outbox."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.registration import app as registration
from functions.verification import app as verification
from infra.local import outbox
from sluice.adapters.accounts.passwords import common_passwords
from sluice.adapters.aws import dynamo
from sluice.adapters.tokens.keys import ensure_keys
from sluice.http.app import create_app
from sluice.wiring import peers
from tests.conftest import Store
from tests.integration.accounts.registration.world import Desk
from tests.integration.accounts.world import forget_everything


@pytest.fixture
def desk(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_AUTH_THROTTLE": "off",
        "SLUICE_BASE_URL": "http://127.0.0.1:8080",
        "SLUICE_MAIL": "outbox",
    }.items():
        monkeypatch.setenv(name, value)
    forget_everything()
    ensure_keys(tmp_path)
    dynamo.client(), peers.password_hashes(), common_passwords()  # once, not by each of many threads at once
    app = create_app([registration.blueprint, verification.blueprint, accounts.blueprint, outbox.blueprint])
    yield Desk(app, app.test_client(use_cookies=False))
    forget_everything()
