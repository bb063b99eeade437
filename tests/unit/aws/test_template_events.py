"""Every event source ends its retries in a dead-letter queue of its function, and an alarm watches that queue."""

from typing import Any

import pytest

from functions.worker import app as worker
from infra.aws.events import HELD_SECONDS
from tests.unit.aws.template import EVENTS, FUNCTIONS, RESOURCES

SOURCES = {names: one for names, one in EVENTS.items() if one["Type"] != "Api"}
ALARMS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
ASYNCHRONOUS = ("SNS", "Schedule", "S3")  # Lambda itself keeps these events and tries again
TOLD = {"Fn::If": ["SomebodyIsTold", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
ids = ["-".join(names) for names in SOURCES]


def queue_of(target: dict[str, Any]) -> str:
    name, attribute = target["Fn::GetAtt"]
    assert attribute == "Arn" and RESOURCES[name]["Type"] == "AWS::SQS::Queue"
    return str(name)


def dead_letters(function: str, source: dict[str, Any]) -> set[str]:
    """Every queue in which an event of this source may end. Raises KeyError with the name of what the source lacks."""
    properties, found = source["Properties"], set()
    match source["Type"]:
        case "DynamoDB":
            found.add(queue_of(properties["DestinationConfig"]["OnFailure"]["Destination"]))
        case "SNS":
            found.add(queue_of(properties["RedrivePolicy"]["deadLetterTargetArn"]))
        case "Schedule":
            found.add(queue_of(properties["DeadLetterConfig"]["Arn"]))
        case "SQS":
            waiting = RESOURCES[queue_of(properties["Queue"])]["Properties"]
            assert 1 < waiting["RedrivePolicy"]["maxReceiveCount"] <= 10
            found.add(queue_of(waiting["RedrivePolicy"]["deadLetterTargetArn"]))
        case "S3":
            pass
        case kind:
            pytest.fail(f"no rule here for events of type {kind}")
    if source["Type"] in ASYNCHRONOUS:
        invoked = FUNCTIONS[function]["Properties"]["EventInvokeConfig"]
        found.add(queue_of(invoked["DestinationConfig"]["OnFailure"]["Destination"]))
    return found


@pytest.mark.parametrize("names", SOURCES, ids=ids)
def test_failed_events_end_in_one_queue_which_an_alarm_watches(names: tuple[str, str]) -> None:
    (queue,) = dead_letters(names[0], SOURCES[names])
    watching = [
        alarm
        for alarm in ALARMS.values()
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        and alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}]
    ]
    assert len(watching) == 1
    assert (watching[0]["Threshold"], watching[0]["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_no_two_functions_share_a_queue() -> None:
    owners: dict[str, set[str]] = {}
    for (function, _), source in SOURCES.items():
        for queue in dead_letters(function, source):
            owners.setdefault(queue, set()).add(function)
    assert {queue: sharing for queue, sharing in owners.items() if len(sharing) > 1} == {}


@pytest.mark.parametrize("names", SOURCES, ids=ids)
def test_a_failed_event_is_retried_a_limited_number_of_times(names: tuple[str, str]) -> None:
    source, properties = SOURCES[names], SOURCES[names]["Properties"]
    if source["Type"] == "DynamoDB":
        assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert properties["BisectBatchOnFunctionError"] is True
        assert 1 <= properties["MaximumRetryAttempts"] <= 100
        assert 60 <= properties["MaximumRecordAgeInSeconds"] <= 86_400  # a stream keeps a day
    elif source["Type"] == "SQS":
        assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    else:
        invoked = FUNCTIONS[names[0]]["Properties"]["EventInvokeConfig"]
        assert 0 <= invoked["MaximumRetryAttempts"] <= 2
        assert 60 <= invoked["MaximumEventAgeInSeconds"] <= 21_600
    if source["Type"] == "Schedule":
        assert properties["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 3600
        assert properties["RetryPolicy"]["MaximumRetryAttempts"] <= 10


def test_the_events_page_says_how_long_the_worker_holds_a_message() -> None:
    assert HELD_SECONDS == {"WorkerFunction": worker.HOLD_SECONDS} and 2 * worker.RENEWAL_SECONDS < worker.HOLD_SECONDS


@pytest.mark.parametrize("names", SOURCES, ids=ids)
def test_the_service_that_delivers_may_write_to_the_queue(names: tuple[str, str]) -> None:
    """A function's own destinations are in its role; SNS and EventBridge deliver by the queue's policy."""
    service = {"SNS": "sns.amazonaws.com", "Schedule": "events.amazonaws.com"}.get(SOURCES[names]["Type"])
    if service is None:
        return
    (queue,) = dead_letters(names[0], SOURCES[names])
    statements = [
        statement
        for one in RESOURCES.values()
        if one["Type"] == "AWS::SQS::QueuePolicy" and {"Ref": queue} in one["Properties"]["Queues"]
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
    ]
    fitting = [one for one in statements if one["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}]
    assert [one["Principal"] for one in fitting] == [{"Service": service}]
    assert all("Condition" in one for one in fitting), "any account's could write"


@pytest.mark.parametrize("function", sorted({names[0] for names, one in SOURCES.items() if one["Type"] == "DynamoDB"}))
def test_an_alarm_rings_when_a_stream_is_behind(function: str) -> None:
    dimensions = [{"Name": "FunctionName", "Value": {"Ref": function}}]
    found = [
        one for one in ALARMS.values() if one.get("MetricName") == "IteratorAge" and one["Dimensions"] == dimensions
    ]
    assert len(found) == 1


def test_one_alarm_counts_the_failures_of_every_event_function() -> None:
    watched = {
        metric["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"]
        for metric in ALARMS["FunctionErrors"]["Metrics"]
        if "MetricStat" in metric
    }
    at_once = {  # a failed event goes to their queue without another try, and that queue has an alarm
        function
        for function, _ in SOURCES
        if all(one["Type"] in ASYNCHRONOUS for (owner, _), one in SOURCES.items() if owner == function)
        and FUNCTIONS[function]["Properties"]["EventInvokeConfig"]["MaximumRetryAttempts"] == 0
    }
    of_streams = {function for (function, _), one in SOURCES.items() if one["Type"] == "DynamoDB"}
    by_message = {  # they report failures without an error
        function for (function, _), one in SOURCES.items() if one["Type"] == "SQS" and function not in of_streams
    }
    assert (at_once, by_message) == ({"SweeperFunction"}, {"IngestionFunction", "WorkerFunction"})
    assert watched == {function for function, _ in SOURCES} - at_once - by_message


def test_every_alarm_notifies_the_operator_if_an_address_is_given() -> None:
    assert {name for name, one in ALARMS.items() if one["AlarmActions"] != TOLD} == set()


def test_dead_letter_queues_keep_events_encrypted_for_two_weeks() -> None:
    for names, source in SOURCES.items():
        for queue in dead_letters(names[0], source):
            properties = RESOURCES[queue]["Properties"]
            assert properties["MessageRetentionPeriod"] == 14 * 24 * 3600 and properties["SqsManagedSseEnabled"] is True


def test_every_metric_of_an_alarm_is_written_by_the_code() -> None:
    """In our own namespace, the metric and its labels are those of one of the code's measures."""
    from sluice.adapters.usage.metrics_emf import IN_THE_LINE_ONLY
    from sluice.domain.usage.measures import MEASURES

    written = {one.name: {"service", *one.labels} - IN_THE_LINE_ONLY for one in MEASURES}
    services = {
        one["Properties"].get("Environment", {}).get("Variables", {}).get("SLUICE_SERVICE")
        for one in FUNCTIONS.values()
    }
    looked_at = [one for one in ALARMS.values() if one.get("Namespace") == {"Ref": "AWS::StackName"}]
    looked_at += [
        metric["MetricStat"]["Metric"]
        for one in ALARMS.values()
        for metric in one.get("Metrics", [])
        if metric.get("MetricStat", {}).get("Metric", {}).get("Namespace") == {"Ref": "AWS::StackName"}
    ]
    assert len(looked_at) >= 3
    for one in looked_at:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in one["Dimensions"]}
        assert set(dimensions) == written[one["MetricName"]], one
        assert dimensions["service"] in services
