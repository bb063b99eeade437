"""How a new version comes in: by degrees, with everything that is new about it, and back out on an alarm."""

from typing import Any

import pytest

from tests.unit.aws.template import FUNCTIONS, RESOURCES, TEMPLATE, transformed

GLOBAL = TEMPLATE["Globals"]["Function"]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_new_layer_alone_is_a_new_version(name: str) -> None:
    """SAM publishes one by the code's hash unless told otherwise, and nearly all of our code is in the layer."""
    assert FUNCTIONS[name]["Properties"]["AutoPublishAliasAllProperties"] is True
    assert GLOBAL["AutoPublishAlias"] == "live"


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_every_function_is_brought_in_by_degrees_where_that_is_wanted(enabled: str) -> None:
    made = transformed(GradualDeployment=enabled)["Resources"]
    groups = [one["Properties"] for one in made.values() if one["Type"] == "AWS::CodeDeploy::DeploymentGroup"]
    assert len(groups) == (len(FUNCTIONS) if enabled == "true" else 0)
    for group in groups:
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert {one["Name"]["Ref"] for one in group["AlarmConfiguration"]["Alarms"]} == rollback_alarms()


def rollback_alarms() -> set[str]:
    return {one["Ref"] for one in GLOBAL["DeploymentPreference"]["Alarms"]}


def test_it_is_taken_back_on_alarms_that_end_by_themselves() -> None:
    """Whoever mends what filled a dead-letter queue must be able to deploy while its alarm rings."""
    assert {"ServerErrors", "Throttles", "FunctionErrors", "ModelErrors"} <= rollback_alarms()
    for name in rollback_alarms():
        alarm = RESOURCES[name]
        assert alarm["Type"] == "AWS::CloudWatch::Alarm" and alarm["Properties"]["TreatMissingData"] == "notBreaching"
        assert alarm["Properties"].get("Namespace") != "AWS/SQS"


def test_calls_urls_and_events_go_to_the_alias() -> None:
    made: dict[str, Any] = transformed()["Resources"]
    mappings = [one["Properties"] for one in made.values() if one["Type"] == "AWS::Lambda::EventSourceMapping"]
    rules = [
        target for one in made.values() if one["Type"] == "AWS::Events::Rule" for target in one["Properties"]["Targets"]
    ]
    targets = [one["FunctionName"]["Ref"] for one in mappings] + [one["Arn"]["Ref"] for one in rules]
    assert len(targets) >= 3 and all(target.endswith("Aliaslive") for target in targets)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_says_what_it_is_called_in_the_metrics(name: str) -> None:
    if name == "InferenceFunction":  # its metrics are its own image's
        return
    assert (
        FUNCTIONS[name]["Properties"]["Environment"]["Variables"]["SLUICE_SERVICE"]
        == name.removesuffix("Function").lower()
    )


@pytest.mark.parametrize("kept", ["10", "0"])
def test_a_small_account_can_go_without_reserved_concurrency(kept: str) -> None:
    condition = TEMPLATE["Conditions"]["Reserve"]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "InferenceConcurrency"}, 0]}]}
    made = transformed(InferenceConcurrency=kept)["Resources"]["InferenceFunction"]["Properties"]
    assert made["ReservedConcurrentExecutions"]["Fn::If"][0] == "Reserve"
