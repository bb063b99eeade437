"""Sign-in by providers on the session's store; each test has its own tables, keys, mails and provider."""

from collections.abc import Iterator

import pytest

from functions.accounts import app as accounts
from functions.factors import app as factors
from functions.registration import app as registration
from functions.verification import app as verification
from tests.apps import app_of
from tests.conftest import Store
from tests.fakes.provider import SECRET, ScriptedProvider
from tests.integration.accounts.providers.house import House
from tests.integration.accounts.world import World


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    made = ScriptedProvider()
    yield made
    made.close()


@pytest.fixture
def house(fresh: Store, monkeypatch: pytest.MonkeyPatch, provider: ScriptedProvider) -> House:
    monkeypatch.setenv("PROVIDER_SECRET", SECRET)
    blueprints = [accounts.blueprint, factors.blueprint, registration.blueprint, verification.blueprint]
    app = app_of(blueprints)
    made = House(World(app, app.test_client(use_cookies=False)), provider)
    made.configure()
    return made
