"""Compares existing tables with the declared ones: missing parts are added, contradictions are refused.

Nothing is ever removed, because an undeclared index or table may belong to the operator.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition, expiry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from pynamodb.models import Model

POLL_SECONDS = 1.0
TTL_ON = ("ENABLED", "ENABLING")


class WrongTable(Exception):
    """An existing table contradicts the declaration: it is not Sluice's, or was changed by hand."""


@dataclass(frozen=True)
class Missing:
    """One table, index or setting to add. `call`: the client's method; `arguments`: its arguments."""

    what: str
    table: str
    call: str
    arguments: dict[str, Any]


def missing(client: "DynamoDBClient", prefix: str) -> list[Missing]:
    """Missing parts, in the order in which to add them. Errors: WrongTable, botocore's."""
    found: list[Missing] = []
    for table in TABLES:
        try:
            actual: Any = client.describe_table(TableName=prefix + table.Meta.table_name)["Table"]
        except client.exceptions.ResourceNotFoundException:
            wanted = definition(table, prefix)
            found.append(Missing(f"table {wanted['TableName']}", table.Meta.table_name, "create_table", wanted))
            if expiry(table):
                found.append(_ttl(table, prefix))
            continue
        found += _lacking(client, table, actual, prefix)
    return found


def _lacking(client: "DynamoDBClient", table: "type[Model]", actual: dict[str, Any], prefix: str) -> Iterator[Missing]:
    wanted = definition(table, prefix)
    name: str = wanted["TableName"]
    if actual["KeySchema"] != wanted["KeySchema"]:
        raise WrongTable(f"The table {name} has another key than this version's: it is no store of Sluice's.")
    there = {index["IndexName"]: index["KeySchema"] for index in actual.get("GlobalSecondaryIndexes", [])}
    for index in wanted.get("GlobalSecondaryIndexes", []):
        if index["IndexName"] not in there:
            keys = {key["AttributeName"] for key in (*wanted["KeySchema"], *index["KeySchema"])}
            yield Missing(
                f"index {index['IndexName']} of {name}",
                table.Meta.table_name,
                "update_table",
                {
                    "TableName": name,
                    "AttributeDefinitions": [a for a in wanted["AttributeDefinitions"] if a["AttributeName"] in keys],
                    "GlobalSecondaryIndexUpdates": [{"Create": index}],  # one at a time, which is DynamoDB's limit
                },
            )
        elif there[index["IndexName"]] != index["KeySchema"]:
            raise WrongTable(f"The index {index['IndexName']} of {name} has another key than this version's.")
    if "StreamSpecification" in wanted and not actual.get("StreamSpecification", {}).get("StreamEnabled"):
        stream = {"TableName": name, "StreamSpecification": wanted["StreamSpecification"]}
        yield Missing(f"stream of {name}", table.Meta.table_name, "update_table", stream)
    if (ttl := expiry(table)) and not _has_ttl(client, name, ttl["AttributeName"]):
        yield _ttl(table, prefix)


def _has_ttl(client: "DynamoDBClient", name: str, attribute: str) -> bool:
    actual = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return actual.get("TimeToLiveStatus") in TTL_ON and actual.get("AttributeName") == attribute


def _ttl(table: "type[Model]", prefix: str) -> Missing:
    name = prefix + table.Meta.table_name
    arguments = {"TableName": name, "TimeToLiveSpecification": expiry(table)}
    return Missing(f"time to live of {name}", table.Meta.table_name, "update_time_to_live", arguments)


def add(client: "DynamoDBClient", prefix: str, one: Missing, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Add it and wait until it is active. → whether this run added it. Errors: botocore's."""
    try:
        getattr(client, one.call)(**one.arguments)
        added = True
    except client.exceptions.ResourceInUseException:
        added = False  # a concurrent run added it
    except client.exceptions.ClientError:
        if one.what in {other.what for other in missing(client, prefix)}:
            raise
        added = False  # the same, as another engine reports it
    while not _is_ready(client, prefix + one.table):
        sleep(POLL_SECONDS)
    return added


def _is_ready(client: "DynamoDBClient", name: str) -> bool:
    actual: Any = client.describe_table(TableName=name)["Table"]
    states = [actual["TableStatus"], *(index.get("IndexStatus") for index in actual.get("GlobalSecondaryIndexes", []))]
    return all(state in ("ACTIVE", None) for state in states)
