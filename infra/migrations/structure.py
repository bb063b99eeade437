"""Tables as they are against tables as they are declared: what is missing is added, what contradicts is refused.

Nothing is ever taken away: an index or table that is not declared may be somebody's own.
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
    """A table of our name that is not ours, or was changed by hand."""


@dataclass(frozen=True)
class Missing:
    """One thing to add. `call` is the client's method, `arguments` its arguments."""

    what: str
    table: str
    call: str
    arguments: dict[str, Any]


def missing(client: "DynamoDBClient", prefix: str) -> list[Missing]:
    """In the order in which they are to be added. Errors: WrongTable, botocore's."""
    found: list[Missing] = []
    for table in TABLES:
        try:
            told: Any = client.describe_table(TableName=prefix + table.Meta.table_name)["Table"]
        except client.exceptions.ResourceNotFoundException:
            wanted = definition(table, prefix)
            found.append(Missing(f"table {wanted['TableName']}", table.Meta.table_name, "create_table", wanted))
            if expiry(table):
                found.append(_ttl(table, prefix))
            continue
        found += _lacking(client, table, told, prefix)
    return found


def _lacking(client: "DynamoDBClient", table: "type[Model]", told: dict[str, Any], prefix: str) -> Iterator[Missing]:
    wanted = definition(table, prefix)
    name: str = wanted["TableName"]
    if told["KeySchema"] != wanted["KeySchema"]:
        raise WrongTable(f"The table {name} has another key than this version's: it is no store of Sluice's.")
    there = {index["IndexName"]: index["KeySchema"] for index in told.get("GlobalSecondaryIndexes", [])}
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
                    "GlobalSecondaryIndexUpdates": [{"Create": index}],  # one at a time: DynamoDB takes no more
                },
            )
        elif there[index["IndexName"]] != index["KeySchema"]:
            raise WrongTable(f"The index {index['IndexName']} of {name} has another key than this version's.")
    if "StreamSpecification" in wanted and not told.get("StreamSpecification", {}).get("StreamEnabled"):
        stream = {"TableName": name, "StreamSpecification": wanted["StreamSpecification"]}
        yield Missing(f"stream of {name}", table.Meta.table_name, "update_table", stream)
    if (ttl := expiry(table)) and not _has_ttl(client, name, ttl["AttributeName"]):
        yield _ttl(table, prefix)


def _has_ttl(client: "DynamoDBClient", name: str, attribute: str) -> bool:
    told = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return told.get("TimeToLiveStatus") in TTL_ON and told.get("AttributeName") == attribute


def _ttl(table: "type[Model]", prefix: str) -> Missing:
    name = prefix + table.Meta.table_name
    arguments = {"TableName": name, "TimeToLiveSpecification": expiry(table)}
    return Missing(f"time to live of {name}", table.Meta.table_name, "update_time_to_live", arguments)


def add(client: "DynamoDBClient", prefix: str, one: Missing, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether it was added by us, and waited for: a new index of a filled table takes a while. Errors: botocore's."""
    try:
        getattr(client, one.call)(**one.arguments)
        added = True
    except client.exceptions.ResourceInUseException:
        added = False  # another run of this was faster
    except client.exceptions.ClientError:
        if one.what in {other.what for other in missing(client, prefix)}:
            raise
        added = False  # the same, said in another way by another engine
    while not _is_ready(client, prefix + one.table):
        sleep(POLL_SECONDS)
    return added


def _is_ready(client: "DynamoDBClient", name: str) -> bool:
    told: Any = client.describe_table(TableName=name)["Table"]
    states = [told["TableStatus"], *(index.get("IndexStatus") for index in told.get("GlobalSecondaryIndexes", []))]
    return all(state in ("ACTIVE", None) for state in states)
