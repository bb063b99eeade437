"""DynamoDB's calls with the names and arguments of botocore's client, over the small client.

    client.get_item(TableName=…, Key=…)  →  one signed POST of exactly these arguments, its JSON back

The adapters use DynamoDB's JSON already, so only the operation's name is translated. As botocore does, a transaction
gets a token by which the store recognises a repetition.
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
