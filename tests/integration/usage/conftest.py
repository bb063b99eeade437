"""The usage side on the session's store; each test has its own tables and keys."""

import pytest

from functions.accounts import app as accounts
from functions.usage import app as usage
from tests.apps import app_of
from tests.conftest import Store
from tests.integration.usage.world import UsageWorld


@pytest.fixture
def world(fresh: Store) -> UsageWorld:
    app = app_of([accounts.blueprint, usage.blueprint])
    return UsageWorld(app, app.test_client(use_cookies=False))
