"""The event sources of the templates, as data for docs/events.md: what starts which function, where failures end."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from infra.aws.cost.inputs import OTHERS, TEMPLATE
from infra.aws.together import Resources, together
from infra.aws.transform import read

HELD_SECONDS = {"WorkerFunction": 120}  # how long a function holds its message, instead of the queue's timeout
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Source:
    """One event source of a function for which no caller waits. `queue` and `alarms` are names."""

    function: str
    origin: str  # the logical id of what the events are of, or the schedule
    kind: str  # stream, queue, topic or schedule
    batch: int
    at_once: str
    attempts: str  # how often it is tried again
    age: str
    queue: str  # dead letters
    alarms: tuple[str, ...]


@cache
def resources() -> Resources:
    data, alarms = OTHERS
    return together(read(TEMPLATE), read(data), read(alarms))


def functions() -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in resources().items() if one["Type"] == "AWS::Serverless::Function"}


def title(name: str) -> str:
    """`MailerFunction` → `mailer`."""
    return name.removesuffix("Function").lower()


def duration(seconds: int) -> str:
    size, unit = next(one for one in UNITS if seconds % one[0] == 0)
    count = seconds // size
    return f"{count:,} {unit}{'s' if count != 1 else ''}"


def times(count: int) -> str:
    return f"{count} times" if count else "not"


def routes(function: str) -> list[tuple[str, str, bool]]:
    """Method, path, and whether the answer is streamed."""
    found = [one["Properties"] for one in _events(function).values() if one["Type"] == "Api"]
    return [(one["Method"].upper(), one["Path"], "ResponseTransferMode" in one) for one in found]


def callers_by_url() -> dict[str, list[str]]:
    """Function with a function URL → the functions that may call it."""
    found: dict[str, list[str]] = {name: [] for name, one in functions().items() if "FunctionUrlConfig" in one}
    for one in resources().values():
        if one["Type"] == "AWS::Lambda::Permission" and "FunctionUrlAuthType" in one["Properties"]:
            called = one["Properties"]["FunctionName"]["Ref"].removesuffix(".Alias")
            found[called].append(one["Properties"]["Principal"]["Fn::GetAtt"][0].removesuffix("Role"))
    return found


def sources() -> list[Source]:
    """Errors: ValueError (a kind of event source that this does not know)."""
    return [_source(name, one) for name in functions() for one in _events(name).values() if one["Type"] != "Api"]


def _events(function: str) -> dict[str, Any]:
    return dict(functions()[function].get("Events", {}))


def _source(function: str, source: dict[str, Any]) -> Source:
    kind, own = source["Type"], source["Properties"]
    if kind == "DynamoDB":
        queue = _name(own["DestinationConfig"]["OnFailure"]["Destination"])
        attempts, age = times(own["MaximumRetryAttempts"]), duration(own["MaximumRecordAgeInSeconds"])
        origin, at_once = _name(own["Stream"]), "1 a shard"
        return _told(Source(function, origin, "stream", own["BatchSize"], at_once, attempts, age, queue, ()))
    if kind == "SQS":
        waiting = resources()[origin := _name(own["Queue"])]["Properties"]
        queue = _name(waiting["RedrivePolicy"]["deadLetterTargetArn"])
        attempts = times(waiting["RedrivePolicy"]["maxReceiveCount"] - 1)
        apart = HELD_SECONDS.get(function) or waiting["VisibilityTimeout"]
        attempts += f", {duration(apart)} apart"
        age, at_once = duration(waiting["MessageRetentionPeriod"]), str(own["ScalingConfig"]["MaximumConcurrency"])
        return _told(Source(function, origin, "queue", own["BatchSize"], at_once, attempts, age, queue, (origin,)))
    invoked = functions()[function]["EventInvokeConfig"]
    queue = _name(invoked["DestinationConfig"]["OnFailure"]["Destination"])
    attempts, age = times(invoked["MaximumRetryAttempts"]), duration(invoked["MaximumEventAgeInSeconds"])
    if kind == "SNS":
        return _told(Source(function, _name(own["Topic"]), "topic", 1, "the account's limit", attempts, age, queue, ()))
    if kind == "Schedule":
        delivery = own["RetryPolicy"]
        within = duration(delivery["MaximumEventAgeInSeconds"])
        attempts += f"; its delivery {times(delivery['MaximumRetryAttempts'])} within {within}"
        reserved = functions()[function].get("ReservedConcurrentExecutions")
        at_once = str(reserved["Fn::If"][1]) if reserved else "1 a call"
        return _told(Source(function, own["Schedule"], "schedule", 1, at_once, attempts, age, queue, ()))
    raise ValueError(f"no rule here for events of type {kind}")


def _told(source: Source) -> Source:
    """The source with its alarms: those of its function, of its dead letters, and of what `alarms` holds so far."""
    seen = {source.function, title(source.function), source.queue, *source.alarms}
    every = [name for name, one in resources().items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    return Source(**{**vars(source), "alarms": tuple(name for name in every if watched(name) & seen)})


def watched(alarm: str) -> set[str]:
    """The functions and queues that an alarm names; a metric of our own names the function by its service."""
    text = json.dumps(resources()[alarm]["Properties"])
    return set(re.findall(r'"Value": (?:\{"(?:Ref": |Fn::GetAtt": \[))?"(\w+)"', text))


def writers() -> Iterator[tuple[str, str]]:
    """(function, table, bucket or mail service): who makes the events, by what each role may do."""
    origins = {one.origin for one in sources()}
    for name, one in functions().items():
        for statement in [each for policy in one.get("Policies", []) for each in policy["Statement"]]:
            on = json.dumps(statement["Resource"])
            if "dynamodb:PutItem" in statement["Action"]:
                yield from ((name, table) for table in sorted(origins & set(re.findall(r'"(\w+)"', on))))
            if "s3:PutObject" in statement["Action"] and any(f"/{prefix}" in on for prefix in told_by_bucket()):
                yield name, "DocumentsBucket"
            if "ses:SendRawEmail" in statement["Action"]:
                yield name, "SES"


def told_by_bucket() -> list[str]:
    """The prefixes of keys whose objects the bucket tells its queue about."""
    told = resources()["DocumentsBucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    return [rule["Value"] for one in told for rule in one["Filter"]["S3Key"]["Rules"]]


def told_by_mail_service() -> list[str]:
    kinds = [
        one["Properties"]["EventDestination"]
        for one in resources().values()
        if one["Type"].endswith("EventDestination")
    ]
    return [kind.lower() for one in kinds for kind in one["MatchingEventTypes"]]


def _name(value: dict[str, Any]) -> str:
    """The logical id that a `Ref` or a `Fn::GetAtt` names."""
    return str(value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0])
