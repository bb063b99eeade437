"""Migrates the local store to this version if necessary (docs/adr/0056-migrations.md).

A plain HTTP request reads the store's record first, because importing the AWS SDK takes half a second and mostly there
is nothing to do.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from infra.local.errors import LaunchError

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ensure(store_url: str, prefix: str, embedded: bool, seconds: float, say: Callable[[str], None]) -> None:
    """Errors: LaunchError if the store does not answer in `seconds`, or if a newer version wrote it."""
    if embedded and _is_current(_record(store_url, prefix, seconds)):
        return
    _bring_up_to_date(store_url, prefix, say)


def _is_current(item: dict[str, Any]) -> bool:
    from infra.migrations import record

    return record.parse(item).is_current


def _record(store_url: str, prefix: str, seconds: float) -> dict[str, Any]:
    """The store's record in DynamoDB's form; empty if there is no record or no table yet."""
    from infra.migrations.record import KEY

    body = json.dumps({"TableName": prefix + "accounts", "Key": {"pk": {"S": KEY}}, "ConsistentRead": True}).encode()
    # The embedded store requires a signature but does not check it.
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.GetItem",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    until = time.monotonic() + seconds
    while True:
        try:
            with DIRECT.open(urllib.request.Request(store_url, body, headers), timeout=2) as answer:
                return dict(json.load(answer).get("Item", {}))
        except urllib.error.HTTPError as exc:
            with exc:
                if exc.code == 400:  # ResourceNotFoundException: a new store
                    return {}
            problem: Exception = exc
        except (OSError, ValueError) as exc:
            problem = exc
        if time.monotonic() > until:
            raise LaunchError(f"the store does not answer at {store_url}: {problem}") from problem
        time.sleep(0.02)


def _bring_up_to_date(store_url: str, prefix: str, say: Callable[[str], None]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.migrations.connection import connect
    from infra.migrations.record import NewerStore
    from infra.migrations.run import migrate
    from infra.migrations.structure import WrongTable

    try:
        outcome = migrate(connect(store_url), prefix)
    except (NewerStore, WrongTable) as exc:
        raise LaunchError(str(exc)) from exc
    except (BotoCoreError, ClientError) as exc:
        raise LaunchError(f"the tables cannot be made at {store_url}: {exc}") from exc
    if outcome.is_new:
        say(f"made {len(outcome.added_tables)} tables in a new store")
    elif outcome.added or outcome.items:
        done = f"{outcome.items} items changed, {len(outcome.added)} tables or indexes added"
        say(f"brought the store from schema {outcome.from_version} to {outcome.to_version}: {done}")
