"""DynamoDB's calls by the names and arguments that botocore's client has, for Lambda's cold starts (ADR 55).

    client.get_item(TableName=…, Key=…)  →  one signed POST of exactly these arguments, its JSON back

The adapters give and take the wire's own form already, so there is nothing to translate but the name. Two things
botocore adds are added here: a token that makes a repeated transaction the same one, and pages one after the other.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

from sluice.adapters.aws.json_service import JsonService

OPERATIONS = frozenset(
    {
        "batch_get_item",
        "batch_write_item",
        "delete_item",
        "describe_table",
        "get_item",
        "put_item",
        "query",
        "scan",
        "transact_get_items",
        "transact_write_items",
        "update_item",
    }
)


class LeanDynamo:
    """Errors of every call: `aws_json.Refused`, `aws_json.Unanswered`. Thread-safe."""

    def __init__(self) -> None:
        self._service = JsonService("dynamodb", "DynamoDB_20120810", "1.0")

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if name not in OPERATIONS:
            raise AttributeError(name)
        operation = "".join(part.capitalize() for part in name.split("_"))
        if name == "transact_write_items":
            return lambda **request: self._service.call(operation, {"ClientRequestToken": str(uuid.uuid4()), **request})
        return lambda **request: self._service.call(operation, request)

    def get_paginator(self, name: str) -> "Pages":
        return Pages(getattr(self, name))

    def close(self) -> None:
        self._service.close()


class Pages:
    def __init__(self, call: Callable[..., dict[str, Any]]) -> None:
        self._call = call

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._call(**request)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
