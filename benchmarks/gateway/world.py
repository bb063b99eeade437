"""Starts a store with accounts, the canned model server, and the gateway as in a local run."""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway import processes
from infra.local import store_index
from infra.local.config import ROOT
from infra.local.programs import STORE_ROOM
from infra.local.store_address import BY_SOCKET
from infra.local.store_room import STORE
from sluice.adapters.aws.unix_sockets import store_connection
from tests.store_clients import forget_store_clients, make_tables

GUNICORN = ROOT / "infra" / "local" / "gunicorn.conf.py"
APP = "infra.local.app:create_app()"
PREFIX = "sluice-"
# High enough that no request is refused, and low enough for the usual integer sizes.
LIMITS = {"rpm": 1_000_000, "tpm": 1_000_000_000, "concurrency": 64, "monthly_tokens": 10**12}
CALLERS_AN_ACCOUNT = 4  # the concurrency limit of a new account


@dataclass(frozen=True)
class Cores:
    """The core of the gateway, and the core of everything else."""

    gateway: int
    others: int


@dataclass
class World:
    folder: Path
    cores: Cores
    upstream_port: int
    gateway_port: int
    store: "subprocess.Popen[bytes]"
    gateway: "subprocess.Popen[bytes]"
    tokens: list[str]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def worker(self) -> int:
        return processes.children(self.gateway.pid)[0]

    @property
    def store_pid(self) -> int:
        return processes.children(self.store.pid)[0]

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics, by name with labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


def environment(folder: Path, upstream_port: int, gateway_port: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "PORT": str(gateway_port),
        "SLUICE_DATA_DIR": str(folder),
        "SLUICE_LOCAL": "1",
        "SLUICE_V1_PLACES": "2000",
        "SLUICE_INFERENCE_URL": f"http://127.0.0.1:{upstream_port}",
        "AWS_ENDPOINT_URL_DYNAMODB": BY_SOCKET,
        "SLUICE_STORE_SOCKET": str(folder / "store.sock"),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def world(
    store_binary: Path, database: Path | None, cores: Cores, accounts: int, terms: bool = False
) -> Iterator[World]:
    """Start everything and make `accounts` accounts with one API token each. Stops and deletes everything at the end.

    `database`: the folder for the store's file; None: in memory. `terms`: with the owner's settings in force (prices,
    and a plan with dollars), and all limits of each API token.
    """
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-", dir=database or None))
    started: list[subprocess.Popen[bytes]] = []
    try:
        running = _start(folder, store_binary, database is not None, cores, started)
        running.tokens = make_accounts(folder, accounts, terms)
        yield _serve(running, database is not None, started)
    finally:
        for process in reversed(started):
            processes.stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    folder: Path, store_binary: Path, on_file: bool, cores: Cores, started: "list[subprocess.Popen[bytes]]"
) -> World:
    """Without the gateway, whose accounts are still to be made."""
    upstream_port, gateway_port = processes.free_ports(2)
    log, env = folder / "log", environment(folder, upstream_port, gateway_port)
    file = ["--db-path", str(folder / "store.db")] if on_file else []
    room = [*STORE_ROOM, env["SLUICE_STORE_SOCKET"]]
    store = [*room, str(store_binary), "serve", "--host", STORE[0], "--port", str(STORE[1]), *file]
    started.append(processes.start(store, cores.others, log))
    canned = [sys.executable, "-ISs", str(processes.HERE / "canned_upstream.py"), str(upstream_port)]
    started.append(processes.start(canned, cores.others, log))
    processes.wait_for(lambda: store_connection(env["SLUICE_STORE_SOCKET"], 1.0))
    os.environ.update(env)
    _forget_earlier_worlds()
    return World(folder, cores, upstream_port, gateway_port, started[0], started[-1], [])


def _serve(made: World, on_file: bool, started: "list[subprocess.Popen[bytes]]") -> World:
    if on_file:
        store_index.ensure(made.folder / "store.db")
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN), APP]
    env = environment(made.folder, made.upstream_port, made.gateway_port)
    made.gateway = processes.start(gunicorn, made.cores.gateway, made.log, env)
    started.append(made.gateway)
    processes.wait_for_port(made.gateway_port)
    while not processes.children(made.gateway.pid):
        time.sleep(0.05)
    return made


def _forget_earlier_worlds() -> None:
    """Clear cached settings and clients, because a second store has another port."""
    from sluice import settings
    from sluice.adapters.tokens import keys
    from sluice.wiring import documents, gateway, peers, stores
    from sluice.wiring import settings as owners

    forget_store_clients()
    for module in (settings, owners, stores, peers, gateway, documents, keys):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _settings(now_ms: int) -> None:
    """Prices of the model, and a default plan with dollars that nobody uses up."""
    from sluice.domain.accounts.audit import OPERATOR
    from sluice.domain.settings.checking import check
    from sluice.services.operations.admin import Actor
    from sluice.wiring.settings import owners_terms

    model = {"id": "demo", "prompt_usd": "0.10", "completion_usd": "0.40", "request_usd": "0.0001"}
    plan = {"name": "free", "default": True, "monthly_usd": "1000000", **LIMITS}
    owners_terms().change(Actor(OPERATOR), 0, check({"models": [model], "plans": [plan]}), now_ms)


def make_accounts(folder: Path, count: int, terms: bool = False, rpm: int = LIMITS["rpm"]) -> list[str]:
    """Make tables, keys and accounts. Returns an API token for each account. `rpm`: requests a minute of each."""
    from sluice.adapters.aws import dynamo
    from sluice.adapters.gateway.grant_item import family_key, token_use_attribute
    from sluice.adapters.tokens import keys
    from sluice.domain.gateway.admission import TokenLimits, TokenUse
    from sluice.domain.gateway.grants import new_grant
    from sluice.domain.ids import random_id
    from sluice.domain.tokens import SCOPES, Claims
    from sluice.wiring import peers

    keys.ensure_keys(folder)
    make_tables(PREFIX)
    client: Any = dynamo.client()
    now_ms, made = time.time_ns() // 1_000_000, []
    expires_s = now_ms // 1000 + 86_400
    if terms:
        _settings(now_ms)
    own = TokenLimits(LIMITS["rpm"], LIMITS["tpm"], LIMITS["monthly_tokens"], 10**12)
    for _ in range(count):
        account_id, token_id = random_id("usr_"), random_id("tok_")
        grant = new_grant(account_id, now_ms=now_ms, **LIMITS | {"rpm": rpm})
        grant["live"][token_id] = expires_s
        limits = {"tl": {"M": {family_key(token_id): token_use_attribute(TokenUse(own))}}} if terms else {}
        client.put_item(TableName=PREFIX + "grants", Item=dynamo.item(grant) | limits)
        claims = Claims(token_id, account_id, now_ms // 1000, expires_s, frozenset(SCOPES), None)
        made.append(peers.token_signer().sign(claims))
    return made
