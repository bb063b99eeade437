"""The two formats of the metrics: for Prometheus, and as log lines for CloudWatch."""

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluice.adapters.usage.metrics_emf import MAX_VALUES, EmfMetrics
from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics
from sluice.domain.usage.measures import (
    ADMISSION,
    HTTP_REQUESTS,
    MEASURES,
    REFUSALS,
    RUNNING,
    SETTLEMENT_FAILURES,
    TOKENS,
    Measure,
)
from sluice.ports.usage import Metrics

NOW_MS = 1_795_233_605_000


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def use_all(metrics: Metrics) -> None:
    for measure in MEASURES:
        labels = dict.fromkeys(measure.labels, "x")
        {"count": metrics.count, "distribution": metrics.observe, "level": metrics.change}[measure.kind](
            measure, 1, **labels
        )


def test_prometheus_shows_every_measure() -> None:
    metrics = PrometheusMetrics()
    use_all(metrics)
    shown = {name.removesuffix("_total").removesuffix("_count") for name, *_ in samples(metrics.exposition({}))}
    assert {f"sluice_{measure.name}" for measure in MEASURES} <= shown


def test_prometheus_counts_observes_and_changes() -> None:
    metrics = PrometheusMetrics()
    metrics.count(REFUSALS, reason="rate_limit_exceeded")
    metrics.count(REFUSALS, 2, reason="rate_limit_exceeded")
    metrics.observe(ADMISSION, 0.0035)
    metrics.change(RUNNING, 2)
    metrics.change(RUNNING, -1)
    shown = samples(metrics.exposition({}))
    assert shown["sluice_refusals_total", "reason=rate_limit_exceeded"] == 3
    assert shown["sluice_admission_seconds_bucket", "le=0.003"] == 0
    assert shown["sluice_admission_seconds_bucket", "le=0.004"] == 1
    assert shown[("sluice_running_leases",)] == 1


PROCESS = """
import sys
from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics
from sluice.domain.usage.measures import RUNNING, SETTLEMENT_FAILURES
metrics = PrometheusMetrics()
metrics.count(SETTLEMENT_FAILURES, 2)
metrics.change(RUNNING, 5)
sys.stdout.write(metrics.exposition().decode() if sys.argv[1] == "show" else "")
"""


def test_processes_of_one_run_are_added_up_and_dead_ones_hold_no_lease(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"  # made by the first caller

    def process(what: str) -> bytes:
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
        return subprocess.run(
            [sys.executable, "-c", PROCESS, what], env=environment, check=True, capture_output=True
        ).stdout

    process("quietly")
    process("quietly")
    shown = samples(process("show"))
    assert shown[("sluice_settlement_failures_total",)] == 6
    assert shown[("sluice_running_leases",)] == 5


FULL_DISK = """
import errno, os, sys
from pathlib import Path
from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics
from sluice.domain.usage.measures import REFUSALS
def full(*asked):
    raise OSError(errno.ENOSPC, "full")
allocate, os.posix_fallocate = os.posix_fallocate, full
try:
    PrometheusMetrics()
except OSError:
    assert not list(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()), "nobody could read an empty file"
else:
    sys.exit("it began on a full disk")
os.posix_fallocate = allocate
metrics = PrometheusMetrics()
for number in range(2000):
    metrics.count(REFUSALS, reason=f"before-{number}")
os.posix_fallocate = full
metrics.count(REFUSALS, reason="before-1")
metrics.count(REFUSALS, reason="during")
os.posix_fallocate = allocate
metrics.count(REFUSALS, reason="after")
sys.stdout.write(metrics.exposition().decode())
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="macOS has none")
def test_a_full_disk_costs_new_figures_and_not_the_process(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    shown = samples(
        subprocess.run([sys.executable, "-c", FULL_DISK], env=environment, check=True, capture_output=True).stdout
    )
    assert shown["sluice_refusals_total", "reason=before-1"] == 2
    assert ("sluice_refusals_total", "reason=during") not in shown
    assert shown["sluice_refusals_total", "reason=after"] == 1
    assert all(file.suffix == ".db" and file.stat().st_size >= 1 << 16 for file in tmp_path.iterdir())
    (counters,) = tmp_path.glob("counter_*.db")
    used_bytes = int.from_bytes(counters.read_bytes()[:4], sys.byteorder)
    assert 1 << 16 < used_bytes <= counters.stat().st_blocks * 512, "a write into a hole ends the process"


def emf() -> tuple[EmfMetrics, io.StringIO]:
    out = io.StringIO()
    return EmfMetrics("gateway", "Sluice", out, lambda: NOW_MS), out


def test_emf_writes_a_line_for_each_set_of_labels() -> None:
    metrics, out = emf()
    metrics.count(HTTP_REQUESTS, method="GET", route="/usage", status="200")
    metrics.observe(ADMISSION, 0.25)
    metrics.observe(ADMISSION, 0.5)
    metrics.count(SETTLEMENT_FAILURES)
    assert out.getvalue() == "", "nothing before the flush"
    metrics.flush()
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first == {
        "_aws": {
            "Timestamp": NOW_MS,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Sluice",
                    "Dimensions": [["service", "status"]],
                    "Metrics": [{"Name": "http_requests", "Unit": "Count"}],
                }
            ],
        },
        "service": "gateway",
        "method": "GET",
        "route": "/usage",
        "status": "200",
        "http_requests": 1,
    }
    assert second["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert second["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "admission_seconds", "Unit": "Seconds"},
        {"Name": "settlement_failures", "Unit": "Count"},
    ]
    assert (second["admission_seconds"], second["settlement_failures"]) == ([0.25, 0.5], 1)


def test_emf_omits_zeros_because_each_metric_costs_money() -> None:
    metrics, out = emf()
    metrics.count(SETTLEMENT_FAILURES, 0)
    metrics.flush()
    assert out.getvalue() == ""


def test_emf_is_flushed_once() -> None:
    metrics, out = emf()
    metrics.count(SETTLEMENT_FAILURES)
    metrics.flush()
    metrics.flush()
    assert len(out.getvalue().splitlines()) == 1


def test_emf_lines_keep_the_formats_limits_and_lose_nothing_between_threads() -> None:
    metrics, out = emf()
    threads = [
        threading.Thread(target=lambda: [metrics.count(TOKENS, 1, model="demo", kind="prompt") for _ in range(333)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics.flush()
    written = [json.loads(line)["tokens"] for line in out.getvalue().splitlines()]
    lists = [values if isinstance(values, list) else [values] for values in written]
    assert max(map(len, lists)) <= MAX_VALUES
    assert sum(map(sum, lists)) == 4 * 333


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_measure_keeps_the_naming_rules_of_cloudwatch_and_prometheus(measure: Measure) -> None:
    assert measure.name.replace("_", "").isalpha()
    assert not measure.name.endswith("_total")  # Prometheus adds it
    assert len(measure.labels) + 1 <= 30  # dimensions of one set, with the service's
    assert (measure.kind == "distribution") or not measure.name.endswith("_seconds")
