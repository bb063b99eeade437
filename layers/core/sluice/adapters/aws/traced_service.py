"""The small client, each call within a span: which operation on which table, and the error's code."""

from typing import Any

from sluice.adapters.aws.json_service import DYNAMODB, HOT, JsonService
from sluice.ports.usage import Tracing


class TracedDynamo(JsonService):
    """Names as OpenTelemetry's conventions for DynamoDB have them. Keys and values are left out."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__(DYNAMODB, HOT)
        self._tracing = tracing

    def call(
        self, operation: str, request: dict[str, Any], *, repeat_silence: bool = True, once: bool = False
    ) -> dict[str, Any]:
        described = {"db.system.name": "aws.dynamodb", "db.operation.name": operation}
        if table := request.get("TableName"):  # a transaction has several
            described["db.collection.name"] = table
        with self._tracing.span(f"{operation} {table}" if table else operation, **described):
            return super().call(operation, request, repeat_silence=repeat_silence, once=once)
