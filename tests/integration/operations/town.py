"""Members and admins in one running system, so that tests see how one affects the others."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from functions.accounts import app as accounts
from functions.admin import app as admin
from functions.chats import app as chats
from functions.factors import app as factors
from functions.gateway import app as gateway
from functions.registration import app as registration
from functions.tokens import app as tokens
from functions.usage import app as usage
from functions.verification import app as verification
from tests.apps import app_of
from tests.conftest import Store
from tests.fakes.upstream import FakeUpstream, Step, chunk, usage_chunk
from tests.integration.accounts.world import PASSWORD, World

BLUEPRINTS = (registration, verification, accounts, factors, tokens, usage, chats, gateway, admin)
ANSWER: tuple[Step, ...] = (chunk("Pa"), chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))


@dataclass
class Citizen:
    client: FlaskClient
    account_id: str
    email: str
    session: dict[str, str]
    api_token: dict[str, str]
    token_id: str
    body: dict[str, Any] = field(
        default_factory=lambda: {"model": "demo", "messages": [{"role": "user", "content": "Capital of France?"}]}
    )

    def call(self, method: str, path: str, body: Any = None) -> TestResponse:
        return self.client.open(path, method=method, json=body, headers=self.session)

    def ask(self, **fields: Any) -> TestResponse:
        return self.client.post("/v1/chat/completions", json={**self.body, **fields}, headers=self.api_token)


@dataclass
class Town:
    world: World
    upstream: FakeUpstream
    store: Store

    def newcomer(self, **account: Any) -> Citizen:
        made = self.world.account(**account)
        session = self.world.login(made)
        issued = self.world.issue(session)
        bearer = {"Authorization": f"Bearer {issued['token']}"}
        return Citizen(self.world.client, made.account_id, made.email, session, bearer, issued["id"])

    def admin(self) -> Citizen:
        return self.newcomer(role="admin")

    def log_in(self, email: str, password: str = PASSWORD) -> TestResponse:
        return self.world.client.post("/auth/login", json={"email": email, "password": password})

    def everything(self, table: str) -> list[dict[str, Any]]:
        """Every item of a table, as plain values."""
        from sluice.adapters.aws import dynamo

        return [dynamo.values(item) for item in self.store.client.scan(TableName=self.store.prefix + table)["Items"]]

    def code_of(self, account_id: str, kind: str) -> str:
        """The code of the newest mail of a kind."""
        from sluice.adapters.tokens.keys import mailed_code_key
        from sluice.domain.mails.mailed_codes import make

        account = next(item for item in self.everything("accounts") if item["pk"] == account_id)
        mail_id = next(iter(account["registrations"])) if kind == "verify_email" else account["codes"][kind]["mail_id"]
        return make(mailed_code_key(), kind, mail_id, account_id)

    def mails_to(self, address: str) -> list[str]:
        return [mail["kind"] for mail in self.everything("mails") if mail.get("to") == address]


@pytest.fixture
def town(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> Town:
    from sluice.wiring import peers

    upstream = FakeUpstream(*ANSWER)
    monkeypatch.setattr(peers, "upstream", lambda: upstream)
    app = app_of(each.blueprint for each in BLUEPRINTS)
    return Town(World(app, app.test_client(use_cookies=False)), upstream, fresh)


def long_answer(meanwhile: Any, passed_seconds: float) -> tuple[list[Step], "Clock"]:
    """A stream that lasts past a checkpoint, during which `meanwhile` is called; and the gateway's clock."""
    clock = Clock()

    def interrupted() -> None:
        meanwhile()
        clock.pass_seconds(passed_seconds)

    return [chunk("a"), interrupted, chunk("b"), chunk("c"), chunk(None, "stop"), usage_chunk(10, 3)], clock


class Clock:
    """The real clock plus an offset."""

    def __init__(self) -> None:
        self._added_ns = 0

    def __call__(self) -> int:
        import time

        return time.time_ns() + self._added_ns

    def pass_seconds(self, seconds: float) -> None:
        self._added_ns += int(seconds * 1e9)
