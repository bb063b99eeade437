"""What a store knows of its own version: one item of the accounts table, under a key that no account can have."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.migrations.steps import CURRENT, FIRST
from sluice.adapters.aws import dynamo

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DECLARATION = "sluice.adapters.aws.models"
KEY = "store"
SCHEMA = 1
# The record never goes back: of two migrations at once, of two releases, the newer one's word stands.
IS_NOT_NEWER = "attribute_not_exists(version) OR version <= :version"


class NewerStore(Exception):
    """Written by a later version: what this one would do to it, nobody has thought about."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"This store was written by a newer Sluice: its schema is {version}, this version knows {CURRENT}. "
            "Use the newer version, or another store."
        )


@dataclass(frozen=True)
class Record:
    """`tables` is the fingerprint of the declaration the tables were last held to; `done` are the finished steps of the
    version under way, and `progress` is how far the scan of each unfinished one had come, as the key of an item."""

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
    """Of the declared tables: a new table or index needs no step of its own to be noticed.

    It is that of the declaration's text, because importing the declaration would import botocore at every `make up`. A
    text that changed and declares the same costs the next start one comparison of the tables.
    """
    found = find_spec(DECLARATION)
    assert found is not None and found.origin is not None
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()[:16]


def parse(item: Mapping[str, Any]) -> Record:
    """From DynamoDB's form; an absent item is the first version's store."""
    plain = dynamo.values(item)
    if not plain:
        return Record()
    return Record(
        plain["version"], plain.get("tables", ""), tuple(plain.get("done", ())), dict(plain.get("progress", {}))
    )


def read(client: "DynamoDBClient", prefix: str) -> Record:
    """Errors: botocore's; a store without tables has no record."""
    try:
        answer = client.get_item(TableName=prefix + "accounts", Key=dynamo.item({"pk": KEY}), ConsistentRead=True)
    except client.exceptions.ResourceNotFoundException:
        return Record()
    return parse(answer.get("Item", {}))


def write(client: "DynamoDBClient", prefix: str, record: Record) -> None:
    """A newer record stays: another run, of this release or a later one, was faster. Errors: NewerStore, botocore's."""
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
