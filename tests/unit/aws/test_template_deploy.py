"""How a new version is deployed: gradually, whole, and rolled back on an alarm."""

from typing import Any

import pytest

from tests.unit.aws.template import ALARMS, FUNCTIONS, RESOURCES, TEMPLATE, transformed

GLOBAL = TEMPLATE["Globals"]["Function"]


def test_a_change_of_the_layer_alone_publishes_a_new_version() -> None:
    """By default SAM looks only at the function's own code, but nearly all of our code is in the layer."""
    assert GLOBAL["AutoPublishAliasAllProperties"] is True and GLOBAL["AutoPublishAlias"] == "live"
    for one in FUNCTIONS.values():
        assert not {"AutoPublishAliasAllProperties", "AutoPublishAlias"} & set(one["Properties"])
        assert "AutoPublishAlias" not in str(one.get("IgnoreGlobals"))


@pytest.mark.slow
@pytest.mark.parametrize("enabled", ["true", "false"])
def test_every_function_is_deployed_gradually_where_the_parameter_says_so(enabled: str) -> None:
    made = transformed(few=True, GradualDeployment=enabled)["Resources"]
    groups = [one["Properties"] for one in made.values() if one["Type"] == "AWS::CodeDeploy::DeploymentGroup"]
    assert len(groups) == (len(FUNCTIONS) if enabled == "true" else 0)
    for group in groups:
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert {_alarm(one["Name"]) for one in group["AlarmConfiguration"]["Alarms"]} == rollback_alarms()


def rollback_alarms() -> set[str]:
    return {_alarm(one) for one in GLOBAL["DeploymentPreference"]["Alarms"]}


def _alarm(value: dict[str, list[str]]) -> str:
    """The alarm behind an output of the nested stack."""
    nested, output = value["Fn::GetAtt"][0], value["Fn::GetAtt"][-1].removeprefix("Outputs.")
    assert nested == "Alarms"
    return str(ALARMS["Outputs"][output]["Value"]["Ref"])


def test_a_deployment_is_rolled_back_only_by_alarms_that_end_by_themselves() -> None:
    """The repair of a filled dead-letter queue must be deployable while the queue's alarm rings. Throttles are those of
    every function of the account, so another application's load would stop a deployment."""
    assert rollback_alarms() == {"ServerErrors", "FunctionErrors", "ModelErrors"}
    for name in rollback_alarms():
        alarm = RESOURCES[name]
        assert alarm["Type"] == "AWS::CloudWatch::Alarm" and alarm["Properties"]["TreatMissingData"] == "notBreaching"
        assert alarm["Properties"].get("Namespace") != "AWS/SQS"


def test_calls_urls_and_events_go_to_the_alias() -> None:
    made: dict[str, Any] = transformed(few=True)["Resources"]
    mappings = [one["Properties"] for one in made.values() if one["Type"] == "AWS::Lambda::EventSourceMapping"]
    rules = [
        target for one in made.values() if one["Type"] == "AWS::Events::Rule" for target in one["Properties"]["Targets"]
    ]
    targets = [one["FunctionName"]["Ref"] for one in mappings] + [one["Arn"]["Ref"] for one in rules]
    assert len(targets) >= 3 and all(target.endswith("Aliaslive") for target in targets)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_has_its_name_for_the_metrics(name: str) -> None:
    if name == "InferenceFunction":  # its image has its own metrics
        return
    assert (
        FUNCTIONS[name]["Properties"]["Environment"]["Variables"]["SLUICE_SERVICE"]
        == name.removesuffix("Function").lower()
    )


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["10", "0"])
def test_a_small_account_can_switch_reserved_concurrency_off(kept: str) -> None:
    condition = TEMPLATE["Conditions"]["Reserve"]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "InferenceConcurrency"}, 0]}]}
    made = transformed(few=True, InferenceConcurrency=kept)["Resources"]
    for one in [one["Properties"] for one in made.values() if one["Type"] == "AWS::Lambda::Function"]:
        switch, _, none = one["ReservedConcurrentExecutions"]["Fn::If"]
        assert (switch, none) == ("Reserve", {"Ref": "AWS::NoValue"})
