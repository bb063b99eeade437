"""Sign-in by providers on the session's store; each test has its own tables, keys, mails and provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.factors import app as factors
from functions.registration import app as registration
from functions.verification import app as verification
from sluice.adapters.tokens.keys import ensure_keys
from sluice.http.app import create_app
from tests.conftest import Store
from tests.fakes.provider import SECRET, ScriptedProvider
from tests.integration.accounts.providers.house import House
from tests.integration.accounts.world import World, forget_everything


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    made = ScriptedProvider()
    yield made
    made.close()


@pytest.fixture
def house(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: ScriptedProvider) -> Iterator[House]:
    for name, value in {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_AUTH_THROTTLE": "off",
        "SLUICE_BASE_URL": "http://127.0.0.1:8080",
        "PROVIDER_SECRET": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    forget_everything()
    ensure_keys(tmp_path)
    blueprints = [accounts.blueprint, factors.blueprint, registration.blueprint, verification.blueprint]
    app = create_app(blueprints)
    made = House(World(app, app.test_client(use_cookies=False)), provider)
    made.configure()
    yield made
    forget_everything()
