"""The services that the functions use: a real store, a parameter store, a mail server, a model; and people."""

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.aws.runtime.model_server import ScriptedModel, scripted_model
from tests.aws.runtime.variables import Declared, declared
from tests.conftest import aws_environment
from tests.fakes.ssm_server import parameters as ssm_parameters
from tests.integration.accounts.world import PASSWORD, World, forget_everything
from tests.store_clients import make_tables
from tests.store_process import running_store
from tests.unit.mails.smtp_server import Server, smtp_server

if TYPE_CHECKING:
    from sluice.services.gateway.admit import Admitted

BASE_URL = "https://api.example.test/live"
KEY_PATH = "/sluice"
ABANDONED_NS = 120 * 10**9  # a lease lives 30 s, and the sweeper waits 10 more


@dataclass
class Person:
    account_id: str
    email: str
    session: str  # a session token
    api_token: str = ""
    token_id: str = ""

    @property
    def logged_in(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session}"}

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_token}"}


@dataclass
class Town:
    store_url: str
    ssm_url: str
    model: ScriptedModel
    mail_server: Server
    folder: Path
    prefix: str
    world: World
    parameters: dict[str, str] = field(default_factory=dict)

    def declared(self, name: str) -> Declared:
        return declared(name, self.parameters)

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """The function's environment on Lambda, with this town's addresses instead of AWS's."""
        one = self.declared(name)
        return {
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(one.memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(one.timeout_seconds),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[1]abc",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            **aws_environment(self.store_url),
            "AWS_SESSION_TOKEN": "session",
            "AWS_ENDPOINT_URL_SSM": self.ssm_url,
            **one.variables,
            **more,
        }

    def newcomer(self, *, role: str = "user", rpm: int = 100_000) -> Person:
        """A person with a session and an API token, made by the functions' code in this process."""
        account = self.world.account(role=role)
        headers = self.world.login(account)
        issued = self.world.issue(headers)
        self._limits(account.account_id, rpm)
        session = headers["Authorization"].removeprefix("Bearer ")
        return Person(account.account_id, account.email, session, issued["token"], issued["id"])

    def registered(self) -> tuple[str, str]:
        """A new account that has not been verified → its id, and its mail's."""
        from sluice import settings
        from sluice.adapters.aws import dynamo
        from sluice.wiring import stores

        email = f"u{secrets.token_hex(6)}@example.com"
        answer = self.world.client.post("/auth/register", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 202, answer.json
        account = stores.account_store().by_email(email, time.time_ns() // 1_000_000)
        assert account is not None
        table = settings.common().table_prefix + "mails"
        (mail,) = dynamo.query(table, {"account_id": account.account_id}, index="by_account")
        return account.account_id, mail["mail_id"]

    def grant(self, person: Person) -> Any:
        from sluice.wiring import stores

        return stores.hot_store().grant(person.account_id)

    def ledger(self, person: Person) -> list[Any]:
        from sluice.wiring import stores

        return list(stores.ledger_reader().everything(person.account_id))

    def drop_connections(self) -> None:
        """Close the model's side of every connection, as happens to idle ones."""
        self.model.drop_connections()

    def used_tokens(self, person: Person) -> int:
        """The used tokens in the roll-ups."""
        from sluice.wiring import stores

        rows = stores.rollup_store().between(person.account_id, "0000-00-00", "9999-99-99")
        return sum(amounts.prompt_tokens + amounts.completion_tokens for amounts in rows.values())

    def settled(self, person: Person) -> str:
        """A request of 10 and 2 tokens in the ledger → its id."""
        from sluice.services.gateway.settle import Outcome, settle
        from sluice.wiring import stores

        admitted = self._admitted(person, time.time_ns())
        identifier = admitted.request.request_id
        settle(stores.hot_store(), person.account_id, identifier, admitted.lease, Outcome(200, 10, 2))
        return identifier

    def abandoned(self, person: Person) -> str:
        """An admitted request whose holder died long enough ago → its id."""
        return self._admitted(person, time.time_ns() - ABANDONED_NS).request.request_id

    def _admitted(self, person: Person, at_ns: int) -> "Admitted":
        from sluice.domain.gateway.admission import AdmissionRequest
        from sluice.domain.ids import request_id
        from sluice.wiring import gateway

        identifier = request_id(at_ns // 1_000_000)
        request = AdmissionRequest(
            person.account_id, identifier, person.token_id, 100, "demo", "chat.completions", True
        )
        return gateway.gateway().admission.admit(request, at_ns)

    def _limits(self, account_id: str, rpm: int) -> None:
        from sluice.domain.gateway.admission import Limits
        from sluice.wiring import stores

        before = stores.hot_store().grant(account_id)
        assert before is not None
        stores.grant_store().set_limits(account_id, before.limits, Limits(rpm, 100_000_000, 16, 10**9), {})


@contextmanager
def town() -> Iterator[Town]:
    """Starts the store in memory and everything else in this process; stops all of it at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-lambda-")))
        store_url, _pid = stack.enter_context(running_store())
        own = {**aws_environment(store_url), "SLUICE_DATA_DIR": str(folder), "SLUICE_AUTH_THROTTLE": "off"}
        prefix = f"l{secrets.token_hex(3)}-"
        stack.enter_context(patch.dict(os.environ, {**own, "SLUICE_TABLE_PREFIX": prefix}))
        forget_everything()
        stack.callback(forget_everything)
        keys = _keys(folder)
        model = stack.enter_context(scripted_model())
        mail_server = stack.enter_context(smtp_server())
        ssm_url = stack.enter_context(ssm_parameters(keys))
        made = Town(store_url, ssm_url, model, mail_server, folder, prefix, _world(prefix))
        made.parameters = {
            "TablePrefix": prefix,
            "BaseUrl": BASE_URL,
            "KeyPath": KEY_PATH,
            "Mail": f"smtp://127.0.0.1:{mail_server.port}",
            "InferenceUrl": model.url,
        }
        yield made


def _keys(folder: Path) -> Mapping[str, str]:
    """The keys as made by `sluice keys init --aws`."""
    from sluice.adapters.tokens.keys import JWKS_FILE, MAILED_CODE_FILE, SIGNING_FILE, ensure_keys

    ensure_keys(folder)
    names = {"signing-key": SIGNING_FILE, "mailed-code-key": MAILED_CODE_FILE, "jwks": JWKS_FILE}
    kept = {f"{KEY_PATH}/{name}": (folder / "keys" / file).read_text() for name, file in names.items()}
    return {**kept, f"{KEY_PATH}/base-url": BASE_URL}


def _world(prefix: str) -> World:
    from functions.accounts import app as accounts
    from functions.registration import app as registration
    from functions.tokens import app as tokens
    from sluice.http.app import create_app

    make_tables(prefix)
    app = create_app([accounts.blueprint, registration.blueprint, tokens.blueprint])
    return World(app, app.test_client(use_cookies=False))
