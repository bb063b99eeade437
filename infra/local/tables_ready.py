"""Migrates the local store to this version if necessary (docs/adr/0056-migrations.md).

A plain HTTP request reads the store's record first, because importing the AWS SDK takes half a second and mostly there
is nothing to do.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from infra.local.errors import LaunchError
from sluice.adapters.aws.unix_sockets import store_connection, store_socket

VERSION_FILE = "store.schema"
NO_ANSWER = (OSError, http.client.HTTPException, ValueError)


def refuse_newer(data_dir: Path) -> None:
    """Refuse a newer store by the number in a file, before a process of this older version opens the store.

    Raises LaunchError. A missing or unreadable file is ignored, because the record in the store is checked later.
    """
    from infra.migrations.record import NewerStore, Record

    try:
        version = int((data_dir / VERSION_FILE).read_text())
    except (OSError, ValueError):
        return
    try:
        Record(version).check()
    except NewerStore as exc:
        raise LaunchError(str(exc)) from exc


def note(data_dir: Path, version: int | None = None) -> None:
    """Write the number for `refuse_newer`: this version's, unless another is given."""
    from infra.migrations.steps import CURRENT

    (data_dir / VERSION_FILE).write_text(f"{version or CURRENT}\n")


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
            status, told = exchange(f"{store_url}/", 2, "POST", body, headers, store_socket())
            if status in (200, 400):  # 400: ResourceNotFoundException, a new store
                return dict(told.get("Item", {}))
            problem = f"status {status}"
        except NO_ANSWER as exc:
            problem = str(exc)
        if time.monotonic() > until:
            raise LaunchError(f"the store does not answer at {store_url}: {problem}")
        time.sleep(0.02)


def exchange(
    url: str,
    seconds: float,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    socket: str = "",
) -> tuple[int, Any]:
    """The status and the JSON body of an http URL of this machine, without a proxy. Raises NO_ANSWER.

    `socket`: the store's socket, if that leads to the URL.
    """
    host, _, path = url.removeprefix("http://").partition("/")
    with closing(http.client.HTTPConnection(host, timeout=seconds)) as connection:
        if socket:
            connection.sock = store_connection(socket, seconds)
            connection.sock.settimeout(seconds)
        connection.request(method, f"/{path}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def _bring_up_to_date(store_url: str, prefix: str, say: Callable[[str], None]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.migrations.addresses import NotMigrated
    from infra.migrations.connection import connect
    from infra.migrations.run import migrate
    from infra.migrations.structure import WrongTable

    try:
        outcome = migrate(connect(store_url), prefix)
    except (NotMigrated, WrongTable) as exc:
        raise LaunchError(str(exc)) from exc
    except (BotoCoreError, ClientError) as exc:
        raise LaunchError(f"the tables cannot be made at {store_url}: {exc}") from exc
    if outcome.is_new:
        say(f"made {len(outcome.added_tables)} tables in a new store")
    elif outcome.added or outcome.items:
        done = f"{outcome.items} items changed, {len(outcome.added)} tables or indexes added"
        say(f"brought the store from schema {outcome.from_version} to {outcome.to_version}: {done}")
