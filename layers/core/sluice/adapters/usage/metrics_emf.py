"""Metrics in CloudWatch's embedded metric format: JSON lines on standard output, without calls, agent or dependency.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
Why not Powertools: docs/adr/0030-metrics-ports.md.
"""

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TextIO

from sluice.domain.usage.measures import Measure

MAX_VALUES = 100  # the format's limit on values of one metric in one line
# CloudWatch charges for each combination of dimensions. These labels have many values, so they are only fields of the
# line, where Logs Insights finds them.
IN_THE_LINE_ONLY = frozenset({"method", "route"})
Group = tuple[tuple[str, str], ...]  # labels and their values, in the measure's order


class EmfMetrics:
    """`sluice.ports.Metrics`. Collects the metrics of one request or event; `flush` writes a line per set of labels."""

    def __init__(
        self,
        service: str,
        namespace: str,
        out: TextIO | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._service, self._namespace, self._out, self._clock = service, namespace, out, clock
        self._lock = threading.Lock()
        self._collected: dict[Group, dict[Measure, list[float]]] = defaultdict(dict)

    def count(self, measure: Measure, amount: int = 1, **labels: str) -> None:
        """An amount of 0 writes nothing, because a metric that is always zero costs as much as any other."""
        if amount:
            self._add(measure, amount, labels)

    def observe(self, measure: Measure, value: float, **labels: str) -> None:
        self._add(measure, value, labels)

    def change(self, measure: Measure, by: int, **labels: str) -> None:
        """Does nothing, because a Lambda environment runs one request at a time. The sweeper counts all leases."""

    def flush(self) -> None:
        with self._lock:
            collected, self._collected = self._collected, defaultdict(dict)
        for group, measures in collected.items():
            print(self._line(group, measures), file=self._out or sys.stdout, flush=True)

    def _add(self, measure: Measure, value: float, labels: dict[str, str]) -> None:
        group = tuple((label, labels[label]) for label in measure.labels)
        with self._lock:
            values = self._collected[group].setdefault(measure, [])
            values.append(value)
            full = len(values) == MAX_VALUES
        if full:
            self.flush()

    def _line(self, group: Group, measures: dict[Measure, list[float]]) -> str:
        dimensions = {"service": self._service, **dict(group)}
        directive: dict[str, Any] = {
            "Namespace": self._namespace,
            "Dimensions": [[name for name in dimensions if name not in IN_THE_LINE_ONLY]],
            "Metrics": [{"Name": measure.name, "Unit": _unit(measure)} for measure in measures],
        }
        values = {measure.name: numbers if len(numbers) > 1 else numbers[0] for measure, numbers in measures.items()}
        metadata = {"Timestamp": self._clock(), "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": metadata, **dimensions, **values}, separators=(",", ":"))


def _unit(measure: Measure) -> str:
    return "Seconds" if measure.name.endswith("_seconds") else "Count"
