"""For the store suite: an engine's tables, a new account for each test, and the real adapter."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config
from botocore.credentials import Credentials
from botocore.session import get_session

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.access import Access
from sluice.adapters.aws.json_service import DYNAMODB, JsonService
from sluice.adapters.aws.unix_sockets import led_to_store
from sluice.adapters.gateway.grant_item import (
    family_key,
    lease_attribute,
    lease_key,
    limits_attribute,
    token_use_attribute,
)
from sluice.adapters.gateway.hot_store import DynamoHotStore, record_from
from sluice.domain.gateway.admission import AdmissionRequest, Grant, Limits, TokenLimits, TokenUse
from sluice.domain.gateway.grants import new_grant
from sluice.domain.gateway.leases import Lease
from sluice.domain.ids import random_id, request_id
from sluice.domain.usage.ledger import LedgerRecord
from tests.integration.gateway.admission import engines
from tests.store_clients import PATIENT
from tests.tables import create_missing

REGION = "us-east-1"
PREFIX = "t-"
NOW_NS = 1_800_000_000_000_000_000  # 2027-01-15T08:00:00Z
NOW_MS = NOW_NS // 1_000_000
NOW_S = NOW_MS // 1000
MONTH = 202701
SECOND_NS = 1_000_000_000
DEFAULTS = Limits(60, 40_000, 4, 1_000_000)
TOKEN = "tok_0123456789abcdef"


def credentials() -> Credentials:
    return Credentials("AKIDEXAMPLE", "secret")


def slow_client(url: str, socket: str = "") -> Any:
    """botocore's own client, to arrange and to check. `socket`: of the store of a running system."""
    session = get_session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    config = Config(region_name=REGION, retries={"max_attempts": 2}, connect_timeout=5, read_timeout=20)
    return led_to_store(session.create_client("dynamodb", endpoint_url=url, config=config), socket)


def hot_store(url: str) -> DynamoHotStore:
    """The adapter as `sluice.wiring` builds it, but with explicit arguments, and for a slow machine."""
    return DynamoHotStore(JsonService(DYNAMODB, PATIENT, url=url, granted=Access(REGION, credentials())), PREFIX)


def close(store: DynamoHotStore) -> None:
    """Close the adapter's idle connections, which a process leaves open until it ends."""
    idle = store._client._pool._idle
    while idle:
        idle.pop().close()


@dataclass
class Engine:
    """A running store with Sluice's tables in it."""

    name: str
    url: str
    client: Any = field(init=False)
    store: DynamoHotStore = field(init=False)

    def __post_init__(self) -> None:
        self.client, self.store = slow_client(self.url), hot_store(self.url)
        create_missing(self.client, PREFIX)

    def close(self) -> None:
        close(self.store)
        self.client.close()

    def account(self, **limits: int) -> "Account":
        return Account(self, limits)


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Dynoxide, in memory."""
    with engines.dynoxide() as url:
        engine = Engine("dynoxide", url)
        yield engine
        engine.close()


class Account:
    """One account's grant and ledger. `limits` replace the defaults."""

    def __init__(self, engine: Engine, limits: dict[str, int], token_id: str = TOKEN) -> None:
        self.engine, self.id, self.token_id = engine, random_id("usr_"), token_id
        self.store = engine.store
        self.limits = Limits(**{**vars(DEFAULTS), **limits})
        values = new_grant(self.id, now_ms=NOW_MS, **vars(self.limits))
        values["live"][token_id] = NOW_S + 3600
        self.item = dynamo.item(values)
        self.write()

    def write(self, **changes: Any) -> None:
        """Replace the grant with some attributes changed: plain values, or DynamoDB JSON for `leases` and `limits`."""
        for name, value in changes.items():
            self.item[name] = value if isinstance(value, dict) and "M" in value else dynamo.attribute(value)
        self.engine.client.put_item(TableName=PREFIX + "grants", Item=self.item)

    def write_limits(self, limits: Limits) -> None:
        self.write(limits=limits_attribute(limits))

    def write_token_limits(self, limits: TokenLimits, family: str = "") -> None:
        self.item["tl"] = {"M": {family_key(family or self.token_id): token_use_attribute(TokenUse(limits))}}
        self.write()

    def write_leases(self, leases: dict[str, Lease]) -> None:
        self.write(leases={"M": {lease_key(key): lease_attribute(lease) for key, lease in leases.items()}})

    def raw(self) -> dict[str, Any]:
        key = {"account_id": {"S": self.id}}
        item: dict[str, Any] = self.engine.client.get_item(
            TableName=PREFIX + "grants", Key=key, ConsistentRead=True
        ).get("Item", {})
        return item

    def grant(self) -> Grant:
        grant = self.store.grant(self.id)
        assert grant is not None
        return grant

    def ask(self, tokens: int = 100, *, identifier: str | None = None, token_id: str | None = None) -> AdmissionRequest:
        made = identifier or request_id(NOW_MS)
        return AdmissionRequest(self.id, made, token_id or self.token_id, tokens, "demo", "chat.completions", True)

    def lease(self, **fields: Any) -> Lease:
        wanted: dict[str, Any] = {
            "expires_ms": NOW_MS + 30_000,
            "reserved_tokens": 100,
            "charged_tokens_ns": 150_000_000,
            "period": MONTH,
            "token_id": self.token_id,
            "model": "demo",
            "endpoint": "chat.completions",
            "stream": True,
        }
        return Lease(**{**wanted, **fields})

    def records(self) -> list[LedgerRecord]:
        """The whole ledger of the account."""
        found: list[LedgerRecord] = []
        query: dict[str, Any] = {
            "TableName": PREFIX + "ledger",
            "KeyConditionExpression": "account_id = :a",
            "ExpressionAttributeValues": {":a": {"S": self.id}},
            "ConsistentRead": True,
        }
        for page in self.engine.client.get_paginator("query").paginate(**query):
            found += [record_from(item) for item in page["Items"]]
        return found
