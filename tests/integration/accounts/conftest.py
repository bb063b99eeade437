"""The account side on the session's store; each test has its own tables and keys."""

import pytest

from functions.accounts import app as accounts
from functions.factors import app as factors
from functions.tokens import app as tokens
from tests.apps import app_of
from tests.conftest import Store
from tests.integration.accounts.world import World
from tests.integration.operations.town import town

__all__ = ["town"]


@pytest.fixture
def world(fresh: Store) -> World:
    app = app_of([accounts.blueprint, factors.blueprint, tokens.blueprint])
    return World(app, app.test_client(use_cookies=False))
