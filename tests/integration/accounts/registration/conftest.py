"""Registration on the session's store; each test has its own tables, keys and outbox."""

import pytest

from functions.accounts import app as accounts
from functions.registration import app as registration
from functions.verification import app as verification
from infra.local import outbox
from sluice.adapters.accounts.passwords import common_passwords
from sluice.adapters.aws import dynamo
from sluice.wiring import peers
from tests.apps import app_of
from tests.conftest import Store
from tests.integration.accounts.registration.world import Desk


@pytest.fixture
def desk(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("SLUICE_MAIL", "outbox")
    dynamo.client(), peers.password_hashes(), common_passwords()  # once, not by each of many threads at once
    app = app_of([registration.blueprint, verification.blueprint, accounts.blueprint, outbox.blueprint])
    return Desk(app, app.test_client(use_cookies=False))
