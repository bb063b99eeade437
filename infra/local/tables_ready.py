"""The store's tables, made where absent. A plain request asks first: the AWS SDK takes half a second to import."""

import json
import time
import urllib.error
import urllib.request

from infra.local.errors import LaunchError

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ensure(store_url: str, prefix: str, embedded: bool, seconds: float) -> list[str]:
    """Names of the tables it had to make. Raises LaunchError when the store does not answer in `seconds`."""
    if embedded and _missing(_listed(store_url, seconds), prefix) == set():
        return []
    return _create(store_url, prefix)


def _missing(there: set[str], prefix: str) -> set[str]:
    from sluice.adapters.tables import TABLES

    return {prefix + table.name for table in TABLES} - there


def _listed(store_url: str, seconds: float) -> set[str]:
    """The embedded store checks no signature, but wants to see one."""
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    until = time.monotonic() + seconds
    while True:
        try:
            with DIRECT.open(urllib.request.Request(store_url, b"{}", headers), timeout=2) as answer:
                return set(json.load(answer)["TableNames"])
        except (urllib.error.URLError, OSError, ValueError, KeyError) as exc:
            if time.monotonic() > until:
                raise LaunchError(f"the store does not answer at {store_url}: {exc}") from exc
            time.sleep(0.02)


def _create(store_url: str, prefix: str) -> list[str]:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    from sluice.adapters.tables import create_missing

    patience = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3})
    try:
        client = get_session().create_client("dynamodb", endpoint_url=store_url, config=patience)
        return create_missing(client, prefix)  # type: ignore[arg-type]
    except (BotoCoreError, ClientError) as exc:
        raise LaunchError(f"the tables cannot be made at {store_url}: {exc}") from exc
