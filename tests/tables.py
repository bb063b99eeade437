"""The tables of a fresh store, for tests and benchmarks. `make up` and `sluice migrate` have infra/migrations."""

from typing import Any

from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition, expiry


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
