"""Payment on the session's store; each test has its own tables, keys and Stripe."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from functions.accounts import app as accounts
from functions.admin import app as admin
from functions.webhooks import app as webhooks
from sluice.adapters.payments import stripe_service
from sluice.adapters.tokens.keys import ensure_keys
from tests.apps import app_of
from tests.conftest import Store
from tests.fakes.stripe import KEY, SECRET, FakeStripe
from tests.integration.accounts.world import World, forget_everything
from tests.integration.payments.shop import Shop


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    made = FakeStripe()
    yield made
    made.close()


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stripe: FakeStripe) -> Iterator[Shop]:
    for name, value in {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_AUTH_THROTTLE": "off",
        "SLUICE_BASE_URL": "http://127.0.0.1:8080",
        "SLUICE_STRIPE_KEY": KEY,
        "SLUICE_STRIPE_WEBHOOK_SECRET": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    # Stripe is waited for, because it runs on this machine, which may be slow, and some tests hold it up.
    monkeypatch.setattr(stripe_service, "BOUNDS", replace(stripe_service.BOUNDS, connect_seconds=60.0, seconds=60.0))
    forget_everything()
    ensure_keys(tmp_path)
    app = app_of([accounts.blueprint, admin.blueprint, webhooks.blueprint])
    made = Shop(World(app, app.test_client(use_cookies=False)), stripe)
    made.configure()
    yield made
    forget_everything()
