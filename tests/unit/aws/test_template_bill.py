"""What bounds the bill in the templates: rates of methods, concurrency, maxima of tables; and who is told."""

from typing import Any

import pytest

from tests.unit.aws.template import ALARMS, DATA, EVENTS, FUNCTIONS, RESOURCES, TEMPLATE, transformed

API = RESOURCES["Api"]["Properties"]
METHODS = {
    (one["Properties"]["Method"].upper(), one["Properties"]["Path"])
    for one in EVENTS.values()
    if one["Type"] == "Api"
}  # fmt: skip
SETTINGS = {(one["HttpMethod"], one["ResourcePath"].replace("~1", "/").replace("//", "/")): one
            for one in API["MethodSettings"]}  # fmt: skip
PARAMETERS = {**DATA["Parameters"], **TEMPLATE["Parameters"]}
ANONYMOUS = ("RegistrationFunction", "VerificationFunction", "WebFunction")  # all that they answer, anybody may ask
SIGN_IN = {("POST", "/auth/login"), ("POST", "/login"), ("GET", "/login"), ("ANY", "/auth/forgot-password")}


def value(setting: Any) -> float:
    return float(PARAMETERS[setting["Ref"]]["Default"] if isinstance(setting, dict) else setting)


def rate(method: tuple[str, str]) -> float:
    return value(SETTINGS.get(method, SETTINGS["*", "/*"])["ThrottlingRateLimit"])


def test_every_method_has_a_rate_and_every_setting_a_method() -> None:
    assert set(SETTINGS) - {("*", "/*")} <= METHODS
    for one in SETTINGS.values():
        assert value(one["ThrottlingRateLimit"]) > 0 and value(one["ThrottlingBurstLimit"]) >= 10
        assert one["MetricsEnabled"] is False  # $0.30 a month each


def test_what_a_stranger_may_call_is_held_to_some_calls_a_second() -> None:
    theirs = {
        (one["Properties"]["Method"].upper(), one["Properties"]["Path"])
        for (function, _), one in EVENTS.items()
        if function in ANONYMOUS and one["Type"] == "Api"
    } | SIGN_IN
    assert len([one for one in theirs if one[0] != "OPTIONS"]) == 30 and max(map(rate, theirs)) <= 20
    assert sum(map(rate, METHODS)) <= 210, "all methods together, which one stranger can call at once"


def test_large_answers_are_rare() -> None:
    for method in METHODS:
        if method[0] != "OPTIONS" and method[1].endswith(("/content", "/export", ".csv")):
            assert rate(method) <= 0.1, method


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_has_an_end_to_its_concurrency(name: str) -> None:
    made = transformed(few=True)["Resources"][name]["Properties"]["ReservedConcurrentExecutions"]["Fn::If"][1]
    expected = {"GatewayFunction": {"Ref": "GatewayConcurrency"}, "InferenceFunction": {"Ref": "InferenceConcurrency"}}
    expected |= {"SweeperFunction": 1, "WebFunction": 12, "EventsFunction": 8}
    assert made == expected.get(name, {"Ref": "FunctionConcurrency"})


def test_a_queue_starts_no_more_runs_than_its_function_may_have() -> None:
    """More are throttled, and a message that is throttled five times is a dead letter."""
    for one in EVENTS.values():
        if one["Type"] == "SQS":
            most = one["Properties"]["ScalingConfig"]["MaximumConcurrency"]
            assert most <= TEMPLATE["Parameters"]["FunctionConcurrency"]["MinValue"]


def test_every_table_and_every_index_has_a_maximum() -> None:
    most = {"MaxReadRequestUnits": {"Ref": "TableReads"}, "MaxWriteRequestUnits": {"Ref": "TableWrites"}}
    for name, one in DATA["Resources"].items():
        if one["Type"] == "AWS::DynamoDB::Table":
            for part in (one["Properties"], *one["Properties"].get("GlobalSecondaryIndexes", [])):
                assert part["OnDemandThroughput"] == most, name


def test_the_owner_gets_a_mail_at_half_of_the_budget_at_four_fifths_and_at_all_of_it() -> None:
    budget = ALARMS["Resources"]["Budget"]
    limit = budget["Properties"]["Budget"]
    assert limit["BudgetLimit"] == {"Amount": {"Ref": "MonthlyBudget"}, "Unit": "USD"}
    assert (limit["BudgetType"], limit["TimeUnit"], budget["Condition"]) == ("COST", "MONTHLY", "SomebodyIsTold")
    mails = budget["Properties"]["NotificationsWithSubscribers"]
    assert [one["Notification"]["Threshold"] for one in mails] == [50, 80, 100]  # percent, the default type
    for one in mails:
        assert one["Notification"]["NotificationType"] == "ACTUAL"
        assert one["Subscribers"] == [{"SubscriptionType": "EMAIL", "Address": {"Ref": "AlarmMail"}}]
    assert TEMPLATE["Parameters"]["MonthlyBudget"]["Default"] == 10


def test_an_alarm_rings_within_minutes_of_too_many_calls() -> None:
    alarm = RESOURCES["Calls"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/ApiGateway", "Count", "Sum")
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 300 and alarm["Threshold"] == {"Ref": "CallsAMinute"}
    rings_at, allowed = value({"Ref": "CallsAMinute"}), 60 * sum(map(rate, METHODS))
    assert rings_at < allowed / 5, "it must ring before the rates throttle"


def test_answers_are_compressed_by_api_gateway_too() -> None:
    assert API["MinimumCompressionSize"] <= 1024
