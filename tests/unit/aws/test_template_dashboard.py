"""Every metric that the dashboard shows is one that the code writes, with the dimensions that the code gives it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sluice.adapters.usage.metrics_emf import IN_THE_LINE_ONLY
from sluice.domain.usage import measures
from sluice.domain.usage.measures import MEASURES
from tests.unit.aws.template import ALARMS, ROOT

OURS = {measure.name: ("service", *(set(measure.labels) - IN_THE_LINE_ONLY)) for measure in MEASURES}
OF_AWS = {("AWS/ApiGateway", name) for name in ("Count", "4XXError", "5XXError", "IntegrationLatency", "Latency")} | {
    ("AWS/Lambda", "IteratorAge"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
}
SEARCHED = re.compile(r"SEARCH\('\{\$\{App\},([a-z,]+)\} MetricName=\"(\w+)\"'")
SOURCES = [
    path.read_text()
    for folder in ("layers/core/sluice", "functions")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "measures.py"
]
WANTED = {"tokens", "first_token_seconds", "refusals", "spend_micro_usd"}


def shown() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Namespace, metric and dimensions of each line, with "." and "..." written out."""
    body = ALARMS["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    for widget in json.loads(body["Fn::Sub"])["widgets"]:
        before: list[Any] = []
        for line in widget["properties"]["metrics"]:
            words = [word for word in line if isinstance(word, str)]
            for option in (word for word in line if isinstance(word, dict)):
                for dimensions, name in SEARCHED.findall(option.get("expression", "")):
                    yield "${App}", name, tuple(dimensions.split(","))
            if words and words[0] == "...":
                words = [*before[: len(before) - len(words) + 1], *words[1:]]
            before = [before[place] if word == "." else word for place, word in enumerate(words)]
            if before:
                yield before[0], before[1], tuple(before[2::2])


LINES = sorted(set(shown()))


def test_the_dashboard_shows_tokens_first_token_refusals_and_spend() -> None:
    assert {name for namespace, name, _ in LINES if namespace == "${App}"} >= WANTED


@pytest.mark.parametrize(("namespace", "name", "dimensions"), LINES)
def test_each_metric_is_written(namespace: str, name: str, dimensions: tuple[str, ...]) -> None:
    if namespace != "${App}":
        assert (namespace, name) in OF_AWS
        return
    assert set(dimensions) == set(OURS[name])
    (constant,) = [key for key, value in vars(measures).items() if getattr(value, "name", "") == name]
    assert any(re.search(rf"\b{constant}\b", text) for text in SOURCES), "nothing measures it"


def test_each_service_that_it_names_is_a_functions() -> None:
    body = (ROOT / "infra" / "aws" / "alarms.yaml").read_text()
    named = set(re.findall(r'"service", "(\w+)"', body)) | set(re.findall(r"Name: service, Value: (\w+)", body))
    assert named <= set(re.findall(r"SLUICE_SERVICE: (\w+)", (ROOT / "template.yaml").read_text()))
