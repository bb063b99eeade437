"""A pytest plugin that writes down which function made which call to DynamoDB: `-p tests.aws.iam.recorder`.

In a test every function lives in one process. Whose call it is shows in the request being answered (its endpoint
begins with the function's blueprint), in the stack (a handler in `functions/NAME/app.py`), or, while a stream is sent
after its request has ended, in the last request of the thread. What a test calls by itself is nobody's.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, has_request_context, request

FUNCTIONS = str(Path(__file__).parents[3] / "functions") + os.sep
AFTER_THE_REQUEST = ("streaming.py", "gateway_flow.py", "chat_flow.py")  # of sluice/http: they answer piece by piece
VARIABLE = "SLUICE_IAM_RECORD"  # the file to write
IN_A_TRANSACTION = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

_last = threading.local()
_seen: set[tuple[str, str, str]] = set()


def pytest_configure(config: pytest.Config) -> None:
    from botocore.client import BaseClient

    from sluice.adapters.dynamo_http import DynamoHttp

    dispatch, api_call, hot_call = Flask.full_dispatch_request, BaseClient._make_api_call, DynamoHttp.call  # type: ignore[attr-defined]

    def dispatched(self: Flask, *arguments: Any) -> Any:
        _last.function = _of_endpoint()
        return dispatch(self, *arguments)

    def called(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if self.meta.service_model.service_name == "dynamodb":
            note(operation, parameters)
        return api_call(self, operation, parameters)

    def hot_called(self: DynamoHttp, operation: str, asked: dict[str, Any], **options: Any) -> Any:
        note(operation, asked)
        return hot_call(self, operation, asked, **options)

    Flask.full_dispatch_request = dispatched  # type: ignore[method-assign]
    BaseClient._make_api_call = called  # type: ignore[attr-defined]
    DynamoHttp.call = hot_called  # type: ignore[method-assign]


def pytest_unconfigure(config: pytest.Config) -> None:
    Path(os.environ[VARIABLE]).write_text(json.dumps(sorted(_seen)))


def note(operation: str, parameters: dict[str, Any]) -> None:
    function = _caller()
    if function:
        _seen.update((function, action, resource) for action, resource in needed(operation, parameters))


def needed(operation: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The actions that IAM asks for, and the table or index each is on (without the tables' prefix)."""
    if operation == "TransactWriteItems":
        for write in parameters["TransactItems"]:
            for kind, one in write.items():
                yield IN_A_TRANSACTION[kind], _table(one["TableName"])
    elif "RequestItems" in parameters:
        yield from ((operation, _table(name)) for name in parameters["RequestItems"])
    elif "TableName" in parameters:
        index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
        yield operation, _table(parameters["TableName"]) + index


def _table(name: str) -> str:
    return name.rpartition("-")[2]


def _caller() -> str:
    if has_request_context():
        return _of_endpoint()
    frame, streams = sys._getframe(2), False
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(FUNCTIONS):
            return file.removeprefix(FUNCTIONS).split(os.sep)[0]
        streams = streams or file.endswith(tuple(f"sluice{os.sep}http{os.sep}{name}" for name in AFTER_THE_REQUEST))
        frame = frame.f_back  # type: ignore[assignment]
    return getattr(_last, "function", "") if streams else ""


def _of_endpoint() -> str:
    return (request.endpoint or "").split(".")[0]
