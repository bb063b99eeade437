"""A first deployment of the data that fails leaves nothing behind, and is repeated by the same steps."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra.aws.building import DATA
from infra.aws.stack import Bucket, DeployError, deploy, describe, repair
from infra.aws.transform import read
from sluice.adapters.aws.models import TABLES
from tests.aws.emulator.packages import known
from tests.aws.emulator.server import Emulator

NAME, PREFIX = "again-data", "again-"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def clients(emulator: Emulator) -> Iterator[dict[str, Any]]:
    made = {name: emulator.client(name) for name in ("s3", "cloudformation", "dynamodb")}
    yield made
    for one in made.values():
        one.close()


def tables(clients: dict[str, Any]) -> set[str]:
    pages = clients["dynamodb"].get_paginator("list_tables").paginate()
    return {name for page in pages for name in page["TableNames"] if name.startswith(PREFIX)}


def test_a_first_deployment_that_fails_leaves_nothing_and_can_be_repeated(clients: dict[str, Any]) -> None:
    cloudformation, bucket = clients["cloudformation"], Bucket(clients["s3"], "repairs").make()
    whole = known(read(DATA))
    broken = copy.deepcopy(whole)
    broken["Resources"]["Broken"] = {  # what the emulator refuses, after every table
        "Type": "AWS::CloudWatch::Alarm",
        "DependsOn": [f"{table.Meta.table_name.capitalize()}Table" for table in TABLES],
        "Properties": read(DATA.with_name("alarms.yaml"))["Resources"]["ModelErrors"]["Properties"]
        | {"Metrics": [{"Id": "failed", "Expression": "SUM(METRICS())"}], "AlarmActions": []},
    }
    first = {"TablePrefix": PREFIX, "Protection": "false", "MailDomain": "again.test"}
    with pytest.raises(DeployError):
        deploy(cloudformation, bucket, NAME, broken, first)
    assert describe(cloudformation, NAME)["StackStatus"] == "ROLLBACK_COMPLETE" and tables(clients) == set()
    said: list[str] = []
    repair(cloudformation, NAME, said.append, lambda _: None)
    assert "ROLLBACK_COMPLETE" in said[0] and not describe(cloudformation, NAME)
    deploy(cloudformation, bucket, NAME, whole, first)
    deploy(cloudformation, bucket, NAME, whole, {"Protection": "true"})
    assert len(tables(clients)) == len(TABLES)
    for name in tables(clients):
        assert clients["dynamodb"].describe_table(TableName=name)["Table"]["DeletionProtectionEnabled"] in (
            True,
            "true",
        )
