"""The stack's resources and permissions, as the services report them."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition, expiry
from tests.aws.emulator.deployment import Deployment
from tests.e2e.people import Person

pytestmark = pytest.mark.timeout(900)
ROLE = "FunctionRole"


@contextmanager
def in_the_role(deployment: Deployment, name: str, service: str) -> Iterator[Any]:
    """A client with the keys that Lambda gives to this function."""
    with deployment.client("iam") as iam, deployment.client("sts") as sts:
        arn = iam.get_role(RoleName=deployment.physical[name])["Role"]["Arn"]
        keys = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    client = deployment.emulator.client(
        service, keys=(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    )
    try:
        yield client
    finally:
        client.close()


def test_only_the_tokens_function_may_read_the_signing_key(deployment: Deployment) -> None:
    readers = set()
    roles = [name for name in deployment.physical if name.endswith(ROLE)]
    assert len(roles) >= 13
    for name in roles:
        with in_the_role(deployment, name, "ssm") as ssm:
            try:
                ssm.get_parameter(Name="/sluice/signing-key", WithDecryption=True)
                readers.add(name)
            except ClientError as exc:
                assert exc.response["Error"]["Code"] == "AccessDeniedException", name
    assert readers == {"TokensFunctionRole"}


def test_the_gateway_may_not_read_mails_or_change_the_apis_limits(deployment: Deployment) -> None:
    with in_the_role(deployment, "GatewayFunctionRole", "dynamodb") as dynamodb:
        for table in ("MailsTable", "AuditTable", "ThrottlesTable"):
            with pytest.raises(ClientError, match="not authorized"):
                dynamodb.scan(TableName=deployment.physical[table])
        with pytest.raises(ClientError, match="not authorized"):
            dynamodb.delete_table(TableName=deployment.physical["GrantsTable"])


def test_a_function_without_its_policy_answers_unavailable(deployment: Deployment, ada: Person) -> None:
    """This shows that the emulator enforces roles; without that, the tests above would prove nothing."""
    role = deployment.physical["UsageFunctionRole"]
    with deployment.client("iam") as iam:
        policies = {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        }
        for name in policies:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        try:
            answer = ada.call("GET", "/usage")
        finally:
            for name, document in policies.items():
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "AccessDenied" not in answer.text
    assert ada.call("GET", "/usage").status_code == 200


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.Meta.table_name)
def test_a_table_has_its_stream_and_its_ttl(deployment: Deployment, table: Any) -> None:
    name = deployment.physical[f"{table.Meta.table_name.capitalize()}Table"]
    with deployment.client("dynamodb") as dynamodb:
        told = dynamodb.describe_table(TableName=name)["Table"]
        ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert told["DeletionProtectionEnabled"]
    assert ttl.get("AttributeName") == (expiry(table) or {}).get("AttributeName")
    stream = definition(table, "").get("StreamSpecification", {})
    assert told.get("StreamSpecification", {}).get("StreamViewType") == stream.get("StreamViewType")


def test_each_stream_is_read_by_at_most_two_functions_with_a_dead_letter_queue(deployment: Deployment) -> None:
    with deployment.client("lambda") as lambdas, deployment.client("sqs") as sqs:
        mappings = lambdas.list_event_source_mappings()["EventSourceMappings"]
        streams = [one for one in mappings if ":dynamodb:" in one["EventSourceArn"]]
        readers = Counter(one["EventSourceArn"] for one in streams)
        assert len(readers) >= 2 and max(readers.values()) <= 2  # a stream gives no more what they ask for
        for one in streams:
            assert one["State"] == "Enabled"
            assert one["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            queue = one["DestinationConfig"]["OnFailure"]["Destination"].rpartition(":")[2]
            assert sqs.get_queue_url(QueueName=queue)["QueueUrl"]
