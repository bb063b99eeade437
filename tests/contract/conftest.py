"""`running`: every public blueprint in one process on a real store, with a logged-in person and an API token."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask

from infra.openapi import public_app
from sluice.adapters.accounts import passwords
from tests.conftest import aws_environment
from tests.contract.upstream import ContractUpstream
from tests.integration.accounts.world import World, forget_everything
from tests.store_clients import make_tables

# High limits, so that only tests of limits reach them.
LIMITS = {"RPM": "1000000", "TPM": "1000000000", "CONCURRENCY": "100", "MONTHLY_TOKENS": "1000000000"}


@dataclass
class Running:
    app: Flask
    upstream: ContractUpstream
    session: dict[str, str]
    api_token: dict[str, str]
    ids: dict[str, str]  # path parameter → the id of one of the person's objects

    def credentials(self, path: str) -> dict[str, str]:
        return self.api_token if path.startswith("/v1/") else self.session


@dataclass
class Place:
    """Shared by all tests of a module: the tables, the app and the model server."""

    prefix: str
    app: Flask
    upstream: ContractUpstream


@pytest.fixture(scope="module")
def place(store_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from sluice.adapters.tokens.keys import ensure_keys
    from sluice.wiring import peers

    data_dir, prefix, upstream = tmp_path_factory.mktemp("contract"), f"t{secrets.token_hex(4)}-", ContractUpstream()
    environment = {
        **aws_environment(store_endpoint),
        **{f"SLUICE_DEFAULT_{name}": value for name, value in LIMITS.items()},
        "SLUICE_TABLE_PREFIX": prefix,
        "SLUICE_DATA_DIR": str(data_dir),
        "SLUICE_AUTH_THROTTLE": "off",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        forget_everything()
        patch.setattr(passwords, "MEMORY_KIB", 8)
        patch.setattr(passwords, "TIME_COST", 1)
        ensure_keys(data_dir)
        make_tables(prefix)
        patch.setattr(peers, "upstream", lambda: upstream)
        yield Place(prefix, public_app(), upstream)
        forget_everything()


@pytest.fixture
def running(place: Place) -> Running:
    """A new person for each test, which may log them out or revoke their tokens. An admin, so that admin calls are
    allowed; `user_id` is another account, because admins cannot suspend themselves."""
    world = World(place.app, place.app.test_client(use_cookies=False))
    account = world.account(role="admin")
    _raise_limits(place.prefix, account.account_id)
    session = world.login(account)
    issued = world.issue(session)
    sessions = world.client.get("/account/sessions", headers=session).json
    assert sessions is not None
    ids = {"token_id": issued["id"], "session_id": sessions["data"][0]["id"], "name": "demo"}
    ids["user_id"] = world.account().account_id
    ids |= _documents(account.account_id)
    place.upstream.down = False
    return Running(place.app, place.upstream, session, {"Authorization": f"Bearer {issued['token']}"}, ids)


def _documents(account_id: str) -> dict[str, str]:
    """A file in a vector store, which were attached as a batch."""
    from sluice.wiring import documents

    now_ms = time.time_ns() // 1_000_000
    file = documents.files().upload(account_id, "tea.txt", "assistants", b"Tea is a plant.", now_ms)
    store = documents.vector_stores().create(account_id, "papers", {}, now_ms)
    batch = documents.vector_stores().attach_batch(account_id, store.store_id, [(file.file_id, {})], now_ms)
    return {"file_id": file.file_id, "vector_store_id": store.store_id, "batch_id": batch.batch_id}


def _raise_limits(prefix: str, account_id: str) -> None:
    from sluice.adapters.aws import dynamo

    limits = {name.lower(): {"N": value} for name, value in LIMITS.items()}
    dynamo.client().update_item(
        TableName=prefix + "grants",
        Key={"account_id": {"S": account_id}},
        UpdateExpression="SET limits = :limits",
        ExpressionAttributeValues={":limits": {"M": limits}},
    )
