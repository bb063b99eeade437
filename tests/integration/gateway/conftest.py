"""The gateway and the chats over a real store and a scripted model; `person` is logged in and has an API token."""

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from functions.accounts import app as accounts
from functions.chats import app as chats
from functions.files import app as files
from functions.gateway import app as gateway
from functions.tokens import app as tokens
from functions.usage import app as usage
from functions.webhooks import app as webhooks
from tests.apps import app_of
from tests.conftest import Store
from tests.fakes.upstream import FakeClock, FakeUpstream, Step, chunk, usage_chunk
from tests.integration.accounts.world import World

ANSWER: tuple[Step, ...] = (chunk("Pa"), chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))


@dataclass
class Person:
    client: FlaskClient
    upstream: FakeUpstream
    store: Store
    account_id: str
    session: dict[str, str]
    api_token: dict[str, str]
    token_id: str
    body: dict[str, Any] = field(
        default_factory=lambda: {"model": "demo", "messages": [{"role": "user", "content": "Capital of France?"}]}
    )

    def script(self, *steps: Step) -> None:
        self.upstream.steps = steps

    def ask(self, **fields: Any) -> TestResponse:
        return self.client.post("/v1/chat/completions", json={**self.body, **fields}, headers=self.api_token)

    def call(self, method: str, path: str, **arguments: Any) -> TestResponse:
        return self.client.open(path, method=method, headers=self.session, **arguments)

    def log(self) -> list[dict[str, Any]]:
        answer = self.call("GET", "/usage/logs")
        assert answer.json is not None
        return list(answer.json["data"])

    def grant(self) -> Any:
        from sluice.wiring import stores

        return stores.hot_store().grant(self.account_id)


@pytest.fixture
def world(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[World, FakeUpstream, Store]:
    from sluice.wiring import peers, upstreams

    upstream = FakeUpstream(*ANSWER)
    monkeypatch.setattr(peers, "upstream", lambda: upstream)
    monkeypatch.setattr(upstreams, "elsewhere", lambda one: upstream)
    app = app_of(each.blueprint for each in (accounts, tokens, usage, chats, files, gateway, webhooks))
    return World(app, app.test_client(use_cookies=False)), upstream, fresh


@pytest.fixture
def still(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The gateway's clock stands still, so that no limit a minute is refilled however slow this machine is."""
    from sluice.wiring import gateway as wiring

    clock = FakeClock(time.time_ns())
    assert not wiring.gateway._built
    monkeypatch.setattr(wiring, "time", SimpleNamespace(time_ns=clock))
    return clock


def newcomer(world: tuple[World, FakeUpstream, Store]) -> Person:
    made, upstream, store = world
    account = made.account()
    session = made.login(account)
    issued = made.issue(session)
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    return Person(made.client, upstream, store, account.account_id, session, bearer, issued["id"])


@pytest.fixture
def person(world: tuple[World, FakeUpstream, Store]) -> Person:
    return newcomer(world)


@pytest.fixture
def other(world: tuple[World, FakeUpstream, Store]) -> Person:
    return newcomer(world)
