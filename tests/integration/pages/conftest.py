"""Every page on the session's store, as on a local run; each test has its own tables, keys and browser."""

import pytest

from functions.accounts import app as accounts
from functions.admin import app as admin
from functions.chats import app as chats
from functions.factors import app as factors
from functions.gateway import app as gateway
from functions.registration import app as registration
from functions.tokens import app as tokens
from functions.usage import app as usage
from functions.verification import app as verification
from functions.web import app as web
from functions.webhooks import app as webhooks
from sluice.domain.accounts.account import Account
from tests.apps import app_of
from tests.conftest import Store
from tests.fakes.upstream import FakeUpstream, Step, chunk, usage_chunk
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import Browser
from tests.integration.usage.world import UsageWorld

ANSWER: tuple[Step, ...] = (chunk("Pa"), chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))


@pytest.fixture
def upstream() -> FakeUpstream:
    """A model whose answers the test sets."""
    return FakeUpstream(*ANSWER)


@pytest.fixture
def world(fresh: Store, monkeypatch: pytest.MonkeyPatch, upstream: FakeUpstream) -> UsageWorld:
    from sluice.wiring import peers

    monkeypatch.setattr(peers, "upstream", lambda: upstream)
    functions = (registration, verification, accounts, factors, usage, tokens, chats, gateway, admin, web, webhooks)
    app = app_of(each.blueprint for each in functions)
    return UsageWorld(app, app.test_client(use_cookies=False))


@pytest.fixture
def browser(world: UsageWorld) -> Browser:
    """A browser that is not logged in."""
    return Browser(world.app.test_client())


@pytest.fixture
def ann(world: UsageWorld) -> Account:
    return world.account("ann@example.com")


@pytest.fixture
def member(world: UsageWorld, ann: Account) -> Browser:
    """Ann's browser, logged in."""
    made = Browser(world.app.test_client())
    assert made.log_in(ann.email, PASSWORD).status == 200
    return made


@pytest.fixture
def stranger(world: UsageWorld) -> Browser:
    """Another member's browser, logged in."""
    made = Browser(world.app.test_client())
    assert made.log_in(world.account("bob@example.com").email, PASSWORD).status == 200
    return made
