"""docs/events.md is what the script prints, and names every event source, queue, alarm and route of the templates."""

import copy
import re
from collections import Counter

import pytest

from infra.aws import events
from infra.aws.events_page import PAGE, page
from tests.unit.aws.template import EVENTS, FUNCTIONS, RESOURCES

TEXT = PAGE.read_text()
PICTURE = TEXT.partition("```mermaid\n")[2].partition("```")[0]
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if line.startswith("| ")]


def of_type(kind: str) -> set[str]:
    return {name for name, one in RESOURCES.items() if one["Type"] == kind}


def test_the_document_is_what_the_script_prints() -> None:
    assert page() == TEXT, "run: python -m infra.aws.events_page --write"


def test_every_function_queue_and_stream_is_in_the_picture() -> None:
    streams = {
        name for name in of_type("AWS::DynamoDB::Table") if "StreamSpecification" in RESOURCES[name]["Properties"]
    }
    topics = of_type("AWS::SNS::Topic") - {"AlarmTopic"}  # it only sends the alarms' mails
    for name in {*FUNCTIONS, *of_type("AWS::SQS::Queue"), *of_type("AWS::S3::Bucket"), *streams, *topics}:
        assert re.search(rf"\b{name}\b", PICTURE), name


def test_every_event_source_has_a_row_with_its_dead_letters() -> None:
    wanted = Counter(events.title(function) for (function, _), one in EVENTS.items() if one["Type"] != "Api")
    rows = [row for row in ROWS if len(row) == 8 and row[1] != "to" and row[0] != "---"]
    assert Counter(row[1] for row in rows) == wanted
    for row in rows:
        queue = row[6].strip("`")
        assert RESOURCES[queue]["Type"] == "AWS::SQS::Queue" and f'.-> {queue}[/"{queue}"/]' in PICTURE
        alarms = set(re.findall(r"`(\w+)`", row[7]))
        assert alarms <= of_type("AWS::CloudWatch::Alarm") and any(f"{queue} -.-> {name}" in PICTURE for name in alarms)


def test_every_route_is_in_the_row_of_its_function() -> None:
    rows = {row[0]: row[2] for row in ROWS if len(row) == 3}
    for (function, _), one in EVENTS.items():
        if one["Type"] == "Api":
            assert (
                f"`{one['Properties']['Method'].upper()} {one['Properties']['Path']}`" in rows[events.title(function)]
            )


def test_every_alarm_on_a_queue_or_a_function_is_told() -> None:
    watching = {name for name in of_type("AWS::CloudWatch::Alarm") if re.search("GaveUp|IsLate|Errors|Overdue", name)}
    assert {name for name in watching if name not in TEXT} == set()


def test_an_event_source_of_an_unknown_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody adds one that the page leaves out."""
    changed = copy.deepcopy(events.resources())
    changed["SweeperFunction"]["Properties"]["Events"]["EveryMinute"]["Type"] = "Kinesis"
    monkeypatch.setattr(events, "resources", lambda: changed)
    with pytest.raises(ValueError, match="no rule here for events of type Kinesis"):
        events.sources()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(86_400, "1 day"), (345_600, "4 days"), (21_600, "6 hours"), (60, "1 minute"), (90, "90 seconds")],
)
def test_durations_are_told_in_the_largest_whole_unit(seconds: int, said: str) -> None:
    assert events.duration(seconds) == said
