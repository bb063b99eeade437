"""DynamoDB's calls by the names and arguments that botocore's client has, over the small client.

    client.get_item(TableName=…, Key=…)  →  one signed POST of exactly these arguments, its JSON back

The adapters give and take the wire's own form already, so there is nothing to translate but the name. One thing that
botocore adds is added here: a token by which the store knows a repeated transaction.
"""

import uuid
from collections.abc import Callable
from typing import Any

from sluice.adapters.aws.json_service import DYNAMODB, JsonService

OPERATIONS = frozenset(
    {
        "batch_get_item",
        "batch_write_item",
        "delete_item",
        "get_item",
        "put_item",
        "query",
        "scan",
        "transact_get_items",
        "transact_write_items",
        "update_item",
    }
)


class DynamoClient:
    """Errors of every call: `json_service.Refused`, `json_service.Unanswered`. Thread-safe."""

    def __init__(self) -> None:
        self._service = JsonService(DYNAMODB)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if name not in OPERATIONS:
            raise AttributeError(name)
        operation = "".join(part.capitalize() for part in name.split("_"))
        if name == "transact_write_items":
            return lambda **request: self._service.call(operation, {"ClientRequestToken": str(uuid.uuid4()), **request})
        return lambda **request: self._service.call(operation, request)

    def close(self) -> None:
        self._service.close()
