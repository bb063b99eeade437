"""A store of each earlier version, written by that version (`write_old_store.py`, `write_store.py`).

There was no version whose store had schema 2. The one of schema 4 has the tables of the first commit with that schema.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

STORES = Path(__file__).parent / "stores"
EMAIL, PASSWORD = "ada@example.org", "a quiet green harbour"
UNVERIFIED = "bob@example.org"
TOKEN = "tok_0ldt0ken0ldt0ken"
"""Of schema 1."""
SCHEMAS = (1, 3, 4)
NEVER_S = "4000000000"


@cache
def _document(schema: int) -> dict[str, Any]:
    document = dict(json.loads((STORES / f"schema-{schema}.json").read_text()))
    for table in document["tables"]:
        for item in table["items"]:
            if "ttl_s" in item:  # so that the engine does not delete the fixture's items by their expiry
                item["ttl_s"] = {"N": NEVER_S}
            if "expires_ms" in item:  # nor an API token
                item["expires_ms"] = {"N": NEVER_S + "000"}
            for live in item.get("live", {}).get("M", {}).values():
                live["N"] = NEVER_S
            if item.get("status") == {"S": "pending"}:  # nor an account that nobody verified within seven days
                item["created_ms"] = {"N": NEVER_S + "000"}
    return document


def old_tables(schema: int = 1) -> list[dict[str, Any]]:
    return list(_document(schema)["tables"])


def old_items(table: str, schema: int = 1) -> list[dict[str, Any]]:
    return next(list(one["items"]) for one in old_tables(schema) if one["name"] == table)


def build(client: Any, prefix: str, schema: int = 1) -> None:
    for table in old_tables(schema):
        name = prefix + table["name"]
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **table["definition"])
        if table["ttl"]:
            ttl = {"Enabled": True, "AttributeName": table["ttl"]}
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
        for item in table["items"]:
            client.put_item(TableName=name, Item=item)


def dump(client: Any, prefix: str) -> dict[str, Any]:
    """Every item of every table of the store, sorted."""
    pages = client.get_paginator("list_tables").paginate()
    names = sorted(name for page in pages for name in page["TableNames"] if name.startswith(prefix))
    return {
        name.removeprefix(prefix): sorted(client.scan(TableName=name, ConsistentRead=True)["Items"], key=as_text)
        for name in names
    }


def as_text(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def token_id(schema: int = 1) -> str:
    return str(old_items("tokens", schema)[0]["token_id"]["S"])


def account_id(schema: int = 1) -> str:
    return str(
        next(item["account_id"]["S"] for item in old_items("accounts", schema) if item["pk"]["S"] == "email#" + EMAIL)
    )
