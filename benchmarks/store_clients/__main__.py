"""`python -m benchmarks.store_clients`: the small client beside PynamoDB's models, in CPU (docs/adr/0077).

The ways take turns, so that a busy machine slows all of them alike. Imports: medians of fresh processes. Calls: medians
of rounds, on Dynoxide in memory, whose own CPU is another process's and not counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.conftest import aws_environment
from tests.integration.gateway.admission import engines
from tests.store_clients import forget_store_clients, make_tables

LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "f"}
IMPORTS = {
    "nothing": "",
    "the small client, as on Lambda": "from sluice.adapters.aws import dynamo; dynamo.client()",
    "pynamodb.expressions": "import pynamodb.expressions.condition, pynamodb.expressions.update, pynamodb.attributes",
    "botocore.session": "import botocore.session",
    "boto3": "import boto3",
    "botocore's client for S3": "from botocore.session import get_session; get_session().create_client('s3')",
    "boto3's client for S3": "import boto3; boto3.client('s3')",
    "pynamodb.models": "import pynamodb.models",
    "the models, as the mailer's": "from sluice.adapters.aws import models, model_store;"
    "model_store.bound(models.MailItem, 'x-')",
}
KEY = {"account_id": "usr_a", "token_id": "tok_a"}
PREFIX = "bench-"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_clients", description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    with engines.dynoxide() as url:
        os.environ |= aws_environment(url)
        for name, spent in in_turns({what: _import(code) for what, code in IMPORTS.items()}, options.runs).items():
            print(f"| import | {name} | {spent * 1e3:.0f} ms |", flush=True)
        make_tables(PREFIX)
        ways = {name: _repeated(call, options.calls) for name, call in _calls().items()}
        in_turns(ways, 1)  # connections, caches
        for name, spent in in_turns(ways, options.runs).items():
            print(f"| call | {name} | {spent * 1e6:.0f} µs |", flush=True)
        forget_store_clients()


def in_turns(ways: Mapping[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """The median of what each way returned, each run one after the other."""
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            seen[name].append(way())
    return {name: statistics.median(found) for name, found in seen.items()}


def _import(code: str) -> Callable[[], float]:
    program = f"import sys, time\nstarted = time.process_time()\n{code}\nprint(time.process_time() - started)"
    command = [sys.executable, "-c", program]
    return lambda: float(subprocess.check_output(command, env={**os.environ, **LAMBDA}, text=True))


def _repeated(call: Callable[[], Any], times: int) -> Callable[[], float]:
    def run() -> float:
        started = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - started) / times

    return run


def _calls() -> dict[str, Callable[[], Any]]:
    """The same conditional write and the same read with each client."""
    from sluice.adapters.aws import dynamo, model_store
    from sluice.adapters.aws.models import TokenItem

    table, rows = PREFIX + "tokens", model_store.bound(TokenItem, PREFIX)
    dynamo.client().put_item(TableName=table, Item=dynamo.item({**KEY, "last_used_ms": 0}))

    def update() -> None:
        dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=table,
                Key=dynamo.item(KEY),
                UpdateExpression="SET last_used_ms = :used",
                ConditionExpression="attribute_exists(token_id) AND last_used_ms <= :used",
                ExpressionAttributeValues=dynamo.item({":used": 1}),
            )
        )

    def update_by_model() -> None:
        condition = rows.token_id.exists() & (rows.last_used_ms <= 1)
        model_store.write(lambda: rows(**KEY).update([rows.last_used_ms.set(1)], condition))

    def get() -> None:
        with dynamo.store_errors():
            dynamo.values(dynamo.client().get_item(TableName=table, Key=dynamo.item(KEY))["Item"])

    def get_by_model() -> None:
        with model_store.reading():
            rows.get(KEY["account_id"], KEY["token_id"])

    return {
        "conditional update, small client": update,
        "conditional update, model": update_by_model,
        "read, small client": get,
        "read, model": get_by_model,
    }


if __name__ == "__main__":
    main()
