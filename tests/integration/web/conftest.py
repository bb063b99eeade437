"""Every page on the session's store, as on one machine: each test has its own tables, keys and browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.registration import app as registration
from functions.tokens import app as tokens
from functions.usage import app as usage
from functions.verification import app as verification
from functions.web import app as web
from sluice.adapters.keys import ensure_keys
from sluice.domain.accounts import Account
from sluice.http.app import create_app
from tests.conftest import Store
from tests.integration.accounts.world import PASSWORD, forget_everything
from tests.integration.usage.world import UsageWorld
from tests.integration.web.browser import Browser


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsageWorld]:
    for name, value in {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_AUTH_THROTTLE": "off",
        "SLUICE_BASE_URL": "http://127.0.0.1:8080",
    }.items():
        monkeypatch.setenv(name, value)
    forget_everything()
    ensure_keys(tmp_path)
    app = create_app(each.blueprint for each in (registration, verification, accounts, usage, tokens, web))
    yield UsageWorld(app, app.test_client(use_cookies=False))
    forget_everything()


@pytest.fixture
def browser(world: UsageWorld) -> Browser:
    """A stranger's."""
    return Browser(world.app.test_client())


@pytest.fixture
def ann(world: UsageWorld) -> Account:
    return world.account("ann@example.com")


@pytest.fixture
def member(world: UsageWorld, ann: Account) -> Browser:
    """Ann's, logged in."""
    made = Browser(world.app.test_client())
    assert made.log_in(ann.email, PASSWORD).status == 200
    return made


@pytest.fixture
def stranger(world: UsageWorld) -> Browser:
    """Somebody else's, logged in too."""
    made = Browser(world.app.test_client())
    assert made.log_in(world.account("bob@example.com").email, PASSWORD).status == 200
    return made
