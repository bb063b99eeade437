"""AWS's own limits on policies, resources and sizes, which only a deployment would show.

Sources: "Lambda quotas" (a function's resource-based policy 20 KB, environment 4 KB), "CloudFormation quotas" (500
resources, 1 MB), "API Gateway quotas" (300 resources an API), "IAM quotas" (inline policies of a role: 10,240 letters).
"""

import json
from typing import Any

import pytest

from tests.unit.aws.template import DATA, EVENTS, FUNCTIONS, TEMPLATE, transformed

REGION, ACCOUNT, API_ID = "ap-southeast-2", "123456789012", "abcdefghij"  # the longest of each
STACK = "sluice-production"


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    made: dict[str, Any] = transformed()["Resources"]
    return made


def of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}


def statement(logical_id: str, function: str, path: str) -> str:
    """What one AWS::Lambda::Permission becomes in the policy of the function's alias."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-{function}-AbCdEfGhIjKl:live"
    source = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{API_ID}/*/DELETE{path}"
    return json.dumps(
        {
            "Sid": f"{STACK}-{logical_id}-AbCdEfGhIjKl",
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": arn,
            "Condition": {"ArnLike": {"AWS:SourceArn": source}},
        },
        separators=(",", ":"),
    )


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_the_policy_of_each_function_has_room_for_all_its_routes(function: str, resources: dict[str, Any]) -> None:
    routes = [
        (name, one["SourceArn"]["Fn::Sub"][0].partition("${__Stage__}")[2])
        for name, one in of_type(resources, "AWS::Lambda::Permission").items()
        if one["FunctionName"] == {"Ref": f"{function}Aliaslive"} and one["Principal"] == "apigateway.amazonaws.com"
    ]
    assert len(routes) == len([1 for (owner, _), one in EVENTS.items() if owner == function and one["Type"] == "Api"])
    size = sum(len(statement(name, function, path)) for name, path in routes)
    assert size < 20 * 1024, f"{len(routes)} routes"


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_the_role_of_each_function_is_within_the_size_limit(function: str, resources: dict[str, Any]) -> None:
    if "Role" in FUNCTIONS[function]["Properties"]:
        return  # the role of another
    role = of_type(resources, "AWS::IAM::Role")[f"{function}Role"]
    text = json.dumps([one["PolicyDocument"] for one in role.get("Policies", [])], separators=(",", ":"))
    assert len(text) * 1.3 < 10_240  # the real addresses are longer than their placeholders here


def test_the_stack_is_within_the_limits(resources: dict[str, Any]) -> None:
    assert len(resources) <= 500
    assert len(json.dumps(transformed())) < 1024 * 1024
    assert len(TEMPLATE["Parameters"]) <= 200


def test_the_api_has_room_for_all_paths(resources: dict[str, Any]) -> None:
    (api,) = of_type(resources, "AWS::ApiGateway::RestApi").values()
    nodes = {"/".join(parts[:place]) for path in api["Body"]["paths"]
             for parts in [path.rstrip("/").split("/")] for place in range(1, len(parts) + 1)}  # fmt: skip
    assert len(nodes) <= 300


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_the_environment_of_each_function_is_within_the_size_limit(function: str, resources: dict[str, Any]) -> None:
    variables = resources[function]["Properties"].get("Environment", {}).get("Variables", {})
    assert len(json.dumps(variables)) < 4 * 1024


def test_api_gateway_gets_its_logging_role_before_the_stage_is_made() -> None:
    """A stage with an access log cannot be created while the account has no role for logging; data.yaml comes first."""
    account = DATA["Resources"]["ApiGatewayAccount"]
    assert account["Properties"] == {"CloudWatchRoleArn": {"Fn::GetAtt": ["ApiGatewayLogsRole", "Arn"]}}
