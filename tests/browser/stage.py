"""The pages with a real gunicorn and a real store, and a model whose answers the test sets.

Used for what a real model does not do on request: answer slowly, answer with attacks, break off.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sluice.adapters.tokens.keys import ensure_keys
from tests.conftest import aws_environment
from tests.contract.upstream import MODELS
from tests.e2e import people
from tests.e2e.people import Person
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.accounts.world import PASSWORD, forget_everything
from tests.integration.gateway.admission.engines import wait_for
from tests.integration.usage.world import UsageWorld
from tests.ports import free_port
from tests.servers import Handler, Server
from tests.store_process import ROOT, running_store

PREFIX = "stage-"
PROMPT_TOKENS = 12


class Thought(str):
    """A piece that the model only thinks."""


@dataclass
class Script:
    """`pieces` with `pause_seconds` before each, then the end: "stop", "length", "break" (the connection breaks) or
    "error" (the model says that it failed). A piece may be an Event: the answer goes on when the test sets it."""

    pieces: list[str | threading.Event] = field(default_factory=lambda: ["The capital of ", "France is ", "Paris."])
    pause_seconds: float = 0.0
    end: str = "stop"


class Model:
    """A model server that follows the script. `asked` has the bodies of its requests."""

    def __init__(self, models: list[dict[str, Any]] = MODELS) -> None:
        self.script = Script()
        self.asked: list[dict[str, Any]] = []
        model = self

        class Requests(Handler):
            def do_GET(self) -> None:
                self.answer(200, {"object": "list", "data": models})

            def do_POST(self) -> None:
                body = json.loads(self.body())
                model.asked.append(body)
                self.begin_events()
                with suppress(OSError):
                    model._answer(self.wfile.write, body)

        server = Server(Requests)
        self.url, self.stop = server.url, server.stop

    def says(self, *pieces: str | threading.Event, pause_seconds: float = 0.0, end: str = "stop") -> None:
        self.script = Script(list(pieces), pause_seconds, end)

    def _answer(self, write: Any, body: dict[str, Any]) -> None:
        script, count = self.script, 0
        for piece in script.pieces:
            time.sleep(script.pause_seconds)
            if isinstance(piece, threading.Event):
                while not piece.wait(0.3):
                    write(b": ping\n\n")
                continue
            count += 1
            said = chunk(piece)
            if isinstance(piece, Thought):
                said = said.replace(b'"content"', b'"reasoning_content"')
            write(b": usage %d %d 0\ndata: %s\n\n" % (PROMPT_TOKENS, count, said))
        if script.end == "error":
            failure = {"error": {"message": "The model fell over.", "code": "model_unavailable", "status": 503}}
            write(b"data: " + json.dumps(failure).encode() + b"\n\n")
        if script.end in ("stop", "length"):
            end = (chunk(None, script.end), usage_chunk(PROMPT_TOKENS, count), b"[DONE]")
            write(b"".join(b"data: " + payload + b"\n\n" for payload in end))


@dataclass
class Stage:
    """The running server; `world` writes accounts and ledger records directly into its store."""

    url: str
    world: UsageWorld
    model: Model

    def person(self, email: str = "", **more: Any) -> tuple[Person, str]:
        """A logged-in person and their account id."""
        account = self.world.account(email, **more)
        return people.log_in(self.url, account.email, PASSWORD), account.account_id


@contextmanager
def opened(folder: Path, model: Model | None = None) -> Iterator[Stage]:
    from botocore.session import get_session

    from tests.tables import create_missing

    model, port = model or Model(), free_port()
    with running_store() as (store_url, _), pytest.MonkeyPatch.context() as patch:
        asked = {
            **aws_environment(store_url),
            "SLUICE_TABLE_PREFIX": PREFIX,
            "SLUICE_DATA_DIR": str(folder),
            "SLUICE_AUTH_THROTTLE": "off",
            "SLUICE_INFERENCE_URL": model.url,
            "SLUICE_BASE_URL": f"http://127.0.0.1:{port}",
        }
        for name, value in asked.items():
            patch.setenv(name, value)
        forget_everything()
        ensure_keys(folder)
        client = get_session().create_client("dynamodb", endpoint_url=store_url)
        create_missing(client, PREFIX)
        client.close()
        with _serving(folder, port, asked):
            yield Stage(asked["SLUICE_BASE_URL"], UsageWorld(None, None), model)  # type: ignore[arg-type]
        forget_everything()
    model.stop()


@contextmanager
def _serving(folder: Path, port: int, asked: dict[str, str]) -> Iterator[None]:
    own = {name: value for name, value in os.environ.items() if not re.match("AWS_|SLUICE_", name)}
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "infra" / "local" / "gunicorn.conf.py")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "infra.local.app:create_app()"],
            cwd=ROOT,
            env={**own, **asked, "PORT": str(port), "SLUICE_LOCAL": "1"},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(port, server)
            yield
        finally:
            server.terminate()
            server.wait(30)
