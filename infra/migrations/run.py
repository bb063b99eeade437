"""Migrate a store to this version: first its tables, then its items, step by step.

    read the record ─ newer? refuse ─ add missing tables ─ each step: scan, change, save progress ─ write the version

After a crash the next run continues from the record; without a record it starts again and finds less to do. A pass
that continued in the middle is followed by a full one, which is cheap if nothing is left to change.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from infra.migrations import record, structure
from infra.migrations.addresses import NotMigrated
from infra.migrations.record import Record
from infra.migrations.steps import CURRENT, STEPS, Step
from sluice.adapters.aws import dynamo
from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS = {
    table.Meta.table_name: tuple(key["AttributeName"] for key in definition(table, "")["KeySchema"]) for table in TABLES
}
Say = Callable[[str], None]
ATTEMPTS = 3


@dataclass
class Outcome:
    """What was done, or what `plan` would do."""

    from_version: int
    to_version: int = CURRENT
    added: list[str] = field(default_factory=list)
    added_tables: list[str] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)  # step → items

    @property
    def items(self) -> int:
        return sum(self.changed.values())

    @property
    def is_new(self) -> bool:
        """Whether the store had no tables, so that all were created and nothing was migrated."""
        return len(self.added_tables) == len(TABLES)

    def note(self, one: structure.Missing) -> None:
        self.added.append(one.what)
        if one.call == "create_table":
            self.added_tables.append(one.table)


class TablesAreTheStacks(Exception):
    """Tables or indexes are missing on AWS. Only the template may add them: otherwise its next update would fail."""

    def __init__(self, lacking: Iterable[str]) -> None:
        super().__init__("The store lacks: " + ", ".join(lacking))


def plan(client: "DynamoDBClient", prefix: str) -> Outcome:
    """What `migrate` would do. It writes nothing. Errors: NewerStore, WrongTable, botocore's."""
    now = record.read(client, prefix)
    now.check()
    lacking = structure.missing(client, prefix)
    outcome = Outcome(now.version)
    for one in lacking:
        outcome.note(one)
    for step in _left(now):
        if step.table not in outcome.added_tables:
            outcome.changed[step.key] = sum(len(page) for page, _ in _pages(client, prefix, step))
    return outcome


def migrate(
    client: "DynamoDBClient", prefix: str, say: Say = lambda text: None, *, tables: bool = True, page_items: int = 0
) -> Outcome:
    """Safe to repeat, to kill and to run concurrently. `page_items`: how many items a page scans; 0 for 1 MB of items.

    Errors: NewerStore, WrongTable, TablesAreTheStacks (`tables` is False and some are missing), NotMigrated, and
    botocore's.
    """
    now = record.read(client, prefix)
    now.check()
    outcome = Outcome(now.version)
    lacking = structure.missing(client, prefix)
    if lacking and not tables:
        raise TablesAreTheStacks(one.what for one in lacking)
    for one in lacking:
        if structure.add(client, prefix, one):
            say(f"added the {one.what}")
            outcome.note(one)
    for step in _left(now):
        count, now = _run(client, prefix, step, now, page_items)
        outcome.changed[step.key] = count
        if count:
            say(f"{step.table}: {count} items changed ({step.why})")
    record.write(client, prefix, Record(CURRENT, record.fingerprint()))
    return outcome


def _left(now: Record) -> list[Step]:
    return [step for step in STEPS if step.version > now.version and step.key not in now.done]


def _run(client: "DynamoDBClient", prefix: str, step: Step, now: Record, page_items: int) -> tuple[int, Record]:
    start = now.progress.get(step.key)
    count = 0
    if start:
        count, now = _pass(client, prefix, step, now, page_items, start)
    more, now = _pass(client, prefix, step, now, page_items, None)
    done = replace(now, done=(*now.done, step.key), progress={k: v for k, v in now.progress.items() if k != step.key})
    record.write(client, prefix, done)
    return count + more, done


def _pass(
    client: "DynamoDBClient", prefix: str, step: Step, now: Record, page_items: int, start: Mapping[str, Any] | None
) -> tuple[int, Record]:
    count = 0
    for items, last in _pages(client, prefix, step, page_items, start):
        count += sum(_change(client, prefix, step, item) for item in items)
        if last:
            now = replace(now, progress={**now.progress, step.key: dynamo.values(last)})
            record.write(client, prefix, now)
    return count, now


def _pages(
    client: "DynamoDBClient", prefix: str, step: Step, page_items: int = 0, start: Mapping[str, Any] | None = None
) -> Iterable[tuple[list[Any], Any]]:
    """Page by page: the keys of items with the old form, and the key of the page's last item."""
    keys = KEYS[step.table]
    request: dict[str, Any] = {
        "TableName": prefix + step.table,
        "ConsistentRead": True,
        "FilterExpression": step.wanted,
        "ExpressionAttributeNames": {
            **_used(step.names, step.wanted),
            **{f"#key{p}": key for p, key in enumerate(keys)},
        },
        "ProjectionExpression": ", ".join(f"#key{place}" for place in range(len(keys))),
        **({"Limit": page_items} if page_items else {}),
        **({"ExclusiveStartKey": dynamo.item(start)} if start else {}),
    }
    if values := _used(step.values, step.wanted):
        request["ExpressionAttributeValues"] = dynamo.item(values)
    while True:
        answer = client.scan(**request)
        yield answer["Items"], answer.get("LastEvaluatedKey")
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _change(client: "DynamoDBClient", prefix: str, step: Step, key: Mapping[str, Any]) -> bool:
    """→ whether the item still had the old form and was changed. A deleted item stays deleted."""
    exists = KEYS[step.table][0]
    if step.rewrite is not None:
        return _rewrite(client, prefix, step.rewrite, key)
    try:
        client.update_item(
            TableName=prefix + step.table,
            Key=key,
            UpdateExpression=step.change,
            ConditionExpression=f"attribute_exists(#exists) AND ({step.wanted})",
            ExpressionAttributeNames={**step.names, "#exists": exists},  # the condition and the update use all names
            ExpressionAttributeValues=dynamo.item(step.values),
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def _rewrite(client: "DynamoDBClient", prefix: str, rewrite: Callable[..., list[Any]], key: Mapping[str, Any]) -> bool:
    for _ in range(ATTEMPTS):
        writes = rewrite(client, prefix, key)
        try:
            if writes:
                client.transact_write_items(TransactItems=writes)
        except client.exceptions.TransactionCanceledException:
            continue  # a function changed the item meanwhile, or another run did this step
        return bool(writes)
    raise NotMigrated(f"The item {dynamo.values(key)} changes too often. Run the migration again.")


def _used(placeholders: Mapping[str, Any], expression: str) -> dict[str, Any]:
    """The placeholders that the expression uses, because DynamoDB refuses unused ones."""
    return {name: value for name, value in placeholders.items() if name in expression}
