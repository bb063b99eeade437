"""A pytest plugin that records which function made which call to DynamoDB: `-p tests.aws.iam.recorder`.

In a test all functions share one process, so the stack shows whose call it is: a file of `functions/NAME`, a request
being answered (its endpoint begins with the function's blueprint), or a stream being sent, which is the gateway's.
Calls that a test makes itself belong to no function.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

FUNCTIONS = str(Path(__file__).parents[3] / "functions") + os.sep
TESTS = str(Path(__file__).parents[2]) + os.sep
LAYER = Path(__file__).parents[3] / "layers" / "core"
# Work that goes on in threads of its own, or when a request has ended, and whose it is.
THREADS = {
    str(LAYER / "sluice" / "http" / "gateway" / "streaming.py"): "gateway",
    str(LAYER / "sluice" / "services" / "gateway" / "sweep.py"): "sweeper",
}
assert all(Path(file).is_file() for file in THREADS)
VARIABLE = "IAM_RECORD"  # the file to write, and beside it one for each other process of the run: NAME.gw0, …
DONE = ".done"  # beside it, when the run has ended
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
# Tests that bring calls about as the functions do; of a run of everything, only theirs count.
SUITES = (
    "accounts", "tokens", "mails", "gateway", "chats", "documents", "usage", "operations", "pages", "settings",
    "webhooks",
)  # fmt: skip
BY_HAND = "tests/integration/gateway/admission/"  # calls the store itself
IN_A_TRANSACTION = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}

_seen: set[tuple[str, str, str]] = set()
_written = [0]
_counts = [False]


def pytest_configure(config: pytest.Config) -> None:
    from botocore.client import BaseClient

    from sluice.adapters.aws.json_service import JsonService

    dispatch, small_call = Flask.full_dispatch_request, JsonService.call
    api_call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def dispatched(self: Flask, *arguments: Any) -> Any:
        function = (request.endpoint or "").split(".")[0]
        answer = dispatch(self, *arguments)
        del function  # it is read from this frame, see `_caller`
        return answer

    def called(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if self.meta.service_model.service_name == "dynamodb":
            note(operation, parameters)
        return api_call(self, operation, parameters)

    def small_called(self: JsonService, operation: str, asked: dict[str, Any], **options: Any) -> Any:
        if self.service.name == "dynamodb":
            note(operation, asked)
        return small_call(self, operation, asked, **options)

    Flask.full_dispatch_request = dispatched  # type: ignore[method-assign]
    BaseClient._make_api_call = called  # type: ignore[attr-defined]
    JsonService.call = small_called  # type: ignore[method-assign]


def pytest_runtest_logstart(nodeid: str) -> None:
    suites = tuple(f"tests/integration/{name}/" for name in SUITES)
    _counts[0] = nodeid.startswith(suites) and not nodeid.startswith(BY_HAND)


def pytest_sessionfinish() -> None:
    if not WORKER:
        _write()
        Path(os.environ[VARIABLE]).with_suffix(DONE).touch()


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Writes the record after each test, so that an interrupted run keeps it."""
    if len(_seen) != _written[0]:
        _written[0] = len(_seen)
        _write()


def _write() -> None:
    record = Path(os.environ[VARIABLE])
    (record.with_name(f"{record.name}.{WORKER}") if WORKER else record).write_text(json.dumps(sorted(_seen)))


def note(operation: str, parameters: dict[str, Any]) -> None:
    function = _caller() if _counts[0] else ""
    if function:
        _seen.update((function, action, resource) for action, resource in needed(operation, parameters))


def needed(operation: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The actions that IAM asks for, and the table or index each is on (without the tables' prefix)."""
    if operation in ("TransactWriteItems", "TransactGetItems"):
        for part in parameters["TransactItems"]:
            for kind, one in part.items():
                yield IN_A_TRANSACTION[kind], _table(one["TableName"])
    elif "RequestItems" in parameters:
        yield from ((operation, _table(name)) for name in parameters["RequestItems"])
    elif "TableName" in parameters:
        index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
        yield operation, _table(parameters["TableName"]) + index


def _table(name: str) -> str:
    return name.rpartition("-")[2]


def _caller() -> str:
    """The function that made the call: the innermost sign on the stack decides."""
    frame = sys._getframe(1)
    while frame is not None:
        file, code = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith(FUNCTIONS):
            function = file.removeprefix(FUNCTIONS).split(os.sep)[0]
            return "gateway" if function == "worker" else function  # whose role it has
        if file == __file__ and code == "dispatched":
            return str(frame.f_locals["function"])
        if file in THREADS:
            return THREADS[file]
        if file.startswith(TESTS) and file != __file__:
            return ""
        frame = frame.f_back  # type: ignore[assignment]
    return ""
