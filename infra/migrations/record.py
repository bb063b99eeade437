"""The store's record of its version: one item of the accounts table, under a key that no account can have."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.migrations.addresses import NotMigrated
from infra.migrations.steps import CURRENT, FIRST
from sluice.adapters.aws import dynamo

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DECLARATION = "sluice.adapters.aws.models"
KEY = "store"
SCHEMA = 1
# The version never decreases, so of two concurrent migrations by two releases the newer one's record stays.
IS_NOT_NEWER = "attribute_not_exists(version) OR version <= :version"


class NewerStore(NotMigrated):
    """A later version wrote this store, so this version must not change it."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"This store was written by a newer Sluice: its schema is {version}, this version knows {CURRENT}. "
            "Use the newer version, or another store."
        )


@dataclass(frozen=True)
class Record:
    """`tables`: fingerprint of the declaration that the tables were last compared with. `done`: finished steps of the
    unfinished migration. `progress`: for each unfinished step, the key of the last item scanned."""

    version: int = FIRST
    tables: str = ""
    done: tuple[str, ...] = ()
    progress: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_current(self) -> bool:
        return self.version == CURRENT and self.tables == fingerprint()

    def check(self) -> None:
        """Errors: NewerStore."""
        if self.version > CURRENT:
            raise NewerStore(self.version)


@cache
def fingerprint() -> str:
    """Fingerprint of the declared tables, so that a new table or index is noticed without a step.

    It hashes the declaration's text, because importing the declaration would import botocore at every `make up`. A
    changed text that declares the same tables costs the next start one comparison.
    """
    found = find_spec(DECLARATION)
    assert found is not None and found.origin is not None
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()[:16]


def parse(item: Mapping[str, Any]) -> Record:
    """The record from DynamoDB's form. A missing item means a store of the first version."""
    plain = dynamo.values(item)
    if not plain:
        return Record()
    return Record(
        plain["version"], plain.get("tables", ""), tuple(plain.get("done", ())), dict(plain.get("progress", {}))
    )


def read(client: "DynamoDBClient", prefix: str) -> Record:
    """The record; a store without tables has none. Errors: botocore's."""
    try:
        answer = client.get_item(TableName=prefix + "accounts", Key=dynamo.item({"pk": KEY}), ConsistentRead=True)
    except client.exceptions.ResourceNotFoundException:
        return Record()
    return parse(answer.get("Item", {}))


def write(client: "DynamoDBClient", prefix: str, record: Record) -> None:
    """Write the record unless a newer one exists, which a concurrent run wrote. Errors: NewerStore, botocore's."""
    plain = {"pk": KEY, "schema": SCHEMA, "version": record.version, "tables": record.tables}
    plain |= {"done": list(record.done), "progress": {name: dict(key) for name, key in record.progress.items()}}
    try:
        client.put_item(
            TableName=prefix + "accounts",
            Item=dynamo.item(plain),
            ConditionExpression=IS_NOT_NEWER,
            ExpressionAttributeValues=dynamo.item({":version": record.version}),
        )
    except client.exceptions.ConditionalCheckFailedException:
        read(client, prefix).check()
