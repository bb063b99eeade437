"""The tables of a fresh store, for tests and benchmarks. `make up` and `sluice migrate` have infra/migrations."""

from contextlib import suppress
from functools import cache
from typing import Any

from sluice.adapters.aws.json_service import JsonService, Refused
from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition, expiry


@cache
def _declared() -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    return [(definition(table, ""), expiry(table)) for table in TABLES]


def create(service: JsonService, prefix: str) -> None:
    """Every table, in a third of botocore's time, because nearly every test with a store has tables of its own."""
    for wanted, ttl in _declared():
        name = prefix + wanted["TableName"]
        service.call("CreateTable", {**wanted, "TableName": name})
        if ttl:
            service.call("UpdateTimeToLive", {"TableName": name, "TimeToLiveSpecification": ttl})


def drop(service: JsonService, prefix: str) -> None:
    for wanted, _ in _declared():
        with suppress(Refused):  # a test may have deleted it
            service.call("DeleteTable", {"TableName": prefix + wanted["TableName"]})


def create_missing(client: Any, prefix: str) -> list[str]:
    """Create the tables that are missing; returns their names. Safe to run twice at once. Errors: botocore's."""
    there = set(client.list_tables()["TableNames"])  # a dozen tables: one page
    created = []
    for table in TABLES:
        wanted = definition(table, prefix)
        if wanted["TableName"] in there:
            continue
        try:
            client.create_table(**wanted)
        except client.exceptions.ResourceInUseException:
            continue
        created.append(wanted["TableName"])
        if ttl := expiry(table):
            client.update_time_to_live(TableName=wanted["TableName"], TimeToLiveSpecification=ttl)
    return created
