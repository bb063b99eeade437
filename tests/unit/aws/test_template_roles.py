"""Which functions may read parameters, send mail and see queues. Table permissions are tested in tests/aws/iam."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.unit.aws.template import EVENTS, FUNCTIONS, RESOURCES, TEMPLATE

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

EVERYWHERE = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
NAME = re.compile(r"parameter(\$\{KeyPath\}/[a-z-]+(?:/\*)?)$")
ASK_MODELS = {"GatewayFunction", "WorkerFunction", "SearchFunction", "IngestionFunction"}
# Functions that make links, and those that compare the address a request came to.
MAKE_LINKS = {owner for (owner, _), one in EVENTS.items() if one["Type"] == "Api"} | {"MailerFunction"}
MAKE_LINKS |= {"WorkerFunction"}  # by the gateway's role


def statements(name: str, action: str) -> Iterator[dict[str, Any]]:
    for policy in FUNCTIONS[name]["Properties"].get("Policies", []):
        yield from (statement for statement in policy["Statement"] if action in statement["Action"])


def resources(name: str, action: str) -> list[Any]:
    found = [one["Resource"] for one in statements(name, action)]
    return [each for one in found for each in (one if isinstance(one, list) else [one])]


def variables(name: str) -> dict[str, Any]:
    own: dict[str, Any] = FUNCTIONS[name]["Properties"].get("Environment", {}).get("Variables", {})
    return {**EVERYWHERE, **own}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_may_read_exactly_the_parameters_it_is_given(name: str) -> None:
    told = {value["Fn::Sub"] for variable, value in variables(name).items() if variable.endswith("_PARAMETER")}
    if name not in MAKE_LINKS:
        told -= {EVERYWHERE["SLUICE_BASE_URL_PARAMETER"]["Fn::Sub"]}  # every function gets it
    if name in ASK_MODELS:
        told.add("${KeyPath}/upstreams/*")  # which of them, the owner's settings say
    if name == "RegistrationFunction":
        told.add("${KeyPath}/sign-in/*")  # the secrets of providers
    if name in ("WebhooksFunction", "SweeperFunction"):
        told.add("${KeyPath}/stripe/*")
    matches = [NAME.search(one["Fn::Sub"]) for one in resources(name, "ssm:GetParameter")]
    assert {match[1] for match in matches if match} == told and all(matches)


def test_only_the_mailer_may_send_mail_and_only_from_our_domain() -> None:
    senders = {name for name in FUNCTIONS if list(statements(name, "ses:SendRawEmail"))}
    assert senders == {"MailerFunction"}
    (statement,) = statements("MailerFunction", "ses:SendRawEmail")
    assert statement["Condition"] == {"StringLike": {"ses:FromAddress": {"Fn::Sub": "*@${MailDomain}"}}}
    configured = RESOURCES["MailConfiguration"]["Properties"]["Name"]["Fn::Sub"].replace("AWS::StackName", "DataStack")
    assert any(one["Fn::Sub"].endswith(f":configuration-set/{configured}") for one in statement["Resource"])


def test_the_admins_page_counts_every_dead_letter_queue() -> None:
    queues = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::SQS::Queue" and name.endswith("Failures")}
    told = variables("AdminFunction")["SLUICE_DEAD_LETTER_QUEUES"]["Fn::Join"]
    assert told[0] == "," and {one["Ref"] for one in told[1]} == queues
    assert {one["Fn::GetAtt"][0] for one in resources("AdminFunction", "sqs:GetQueueAttributes")} == queues


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_policy_allows_every_action_or_every_resource(name: str) -> None:
    for policy in FUNCTIONS[name]["Properties"].get("Policies", []):
        for statement in policy["Statement"]:
            assert statement["Effect"] == "Allow" and not [one for one in statement["Action"] if "*" in one]
            targets = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            assert [one for one in targets if not _is_ours(one)] == []


def _is_ours(resource: Any) -> bool:
    """A resource of the template, or an ARN that begins with one; it may end in a star (a folder of our bucket)."""
    return "Fn::GetAtt" in resource or bool(re.match(r"(arn:[^*]+|\$\{\w+\.Arn\})", resource["Fn::Sub"]))


def test_only_the_gateway_may_call_bedrock() -> None:
    policies = [one for one in RESOURCES.values() if one["Type"] == "AWS::IAM::Policy"]
    (policy,) = [one for one in policies if "bedrock:" in json.dumps(one)]
    assert policy["Condition"] == "UsesBedrock" and policy["Properties"]["Roles"] == [{"Ref": "GatewayFunctionRole"}]
    assert not [one for name in FUNCTIONS for one in statements(name, "bedrock:InvokeModel")]


@pytest.mark.parametrize("ids", ["", "openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b-1:0,openai.gpt-oss-120b-1:0"])
def test_the_gateway_may_call_exactly_the_models_of_bedrock_that_are_named(
    ids: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    trust = {"Version": "2012-10-17", "Statement": []}
    role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "gateway", "AssumeRolePolicyDocument": trust}}
    template = {
        "Parameters": {"BedrockModels": TEMPLATE["Parameters"]["BedrockModels"]},
        "Conditions": {"UsesBedrock": TEMPLATE["Conditions"]["UsesBedrock"]},
        "Resources": {"GatewayFunctionRole": role, "Policy": RESOURCES["GatewayMayCallBedrock"]},
    }
    given = [{"ParameterKey": "BedrockModels", "ParameterValue": ids}]
    with mock_aws():
        cloudformation, iam = (boto3.client(name, region_name="us-east-1") for name in ("cloudformation", "iam"))
        cloudformation.create_stack(StackName="x", TemplateBody=json.dumps(template), Parameters=given)
        names = iam.list_role_policies(RoleName="gateway")["PolicyNames"]
        found = [iam.get_role_policy(RoleName="gateway", PolicyName=name)["PolicyDocument"] for name in names]
        cloudformation.close(), iam.close()
    allowed = [statement for document in found for statement in document["Statement"]]
    actions = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    arns = [f"arn:aws:bedrock:*::foundation-model/{one}" for one in ids.split(",")]
    assert allowed == ([{"Effect": "Allow", "Action": actions, "Resource": arns}] if ids else [])


def test_whoever_asks_the_model_server_knows_its_names_and_whose_signature_it_checks() -> None:
    for name in ("GatewayFunction", "WorkerFunction", "AdminFunction", "SearchFunction", "IngestionFunction"):
        given = {variable: value for variable, value in variables(name).items() if "_INFERENCE_" in variable}
        assert sorted(given) == [f"SLUICE_INFERENCE_{what}" for what in ("AUTH", "MODELS", "SERVICE", "URL")]
