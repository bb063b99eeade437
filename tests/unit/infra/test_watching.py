"""The dashboard and the alerts: of metrics that exist, and each alert fires on its own trouble only."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from infra import watching
from infra.local import figures
from sluice.adapters.usage.metrics_prometheus import PREFIX, PrometheusMetrics
from sluice.domain.usage.measures import MEASURES
from tests.contract import markdown
from tests.unit.infra.promtool import promtool

FOLDER = Path(str(watching.__file__)).parent
ALERTS = FOLDER / "alerts.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "grafana.json").read_text())["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
NAMED = re.compile(r"\b(sluice_\w+)(?:\{([^}]*)\})?")
ADDED = {"job", "instance"}
"""Labels that Prometheus gives to every sample."""


@pytest.fixture(scope="module")
def exported() -> Mapping[str, frozenset[str]]:
    """The labels of each sample that `/metrics` may have."""
    metrics = PrometheusMetrics()
    for measure in MEASURES:
        labels = dict.fromkeys(measure.labels, "x")
        match measure.kind:
            case "count":
                metrics.count(measure, **labels)
            case "distribution":
                metrics.observe(measure, 1, **labels)
            case "level":
                metrics.change(measure, 1, **labels)
    text = metrics.exposition({}).decode()
    found = {
        one.name: frozenset(one.labels) for family in text_string_to_metric_families(text) for one in family.samples
    }
    for name, (_, labels) in figures.FIGURES.items():
        found[PREFIX + name + ("_total" if name in figures.COUNTED else "")] = frozenset(labels)
    return found


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_each_query_is_of_metrics_and_labels_that_the_system_has(
    query: str, exported: Mapping[str, frozenset[str]]
) -> None:
    for name, selector in NAMED.findall(query):
        assert name in exported, name
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= exported[name] | ADDED, query


def test_each_metric_is_on_the_dashboard() -> None:
    shown = {name for query in QUERIES for name, _ in NAMED.findall(query)}
    metrics = [measure.name for measure in MEASURES] + list(figures.FIGURES)
    ends = ("", "_total", "_bucket", "_sum", "_count")
    assert [one for one in metrics if not any(PREFIX + one + end in shown for end in ends)] == []


def test_prometheus_takes_the_rules_and_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    assert (checked := promtool("check", "rules", ALERTS)).returncode == 0, checked.stderr
    rules = [
        {"record": f"panel:{place}", "expr": query.replace("$__rate_interval", "5m")}
        for place, query in enumerate(QUERIES)
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert (checked := promtool("check", "rules", file)).returncode == 0, checked.stderr


WELL = {
    'up{job="sluice"}': "1x60",
    'sluice_part_up{part="store"}': "1x60",
    'sluice_part_up{part="model"}': "1x60",
    'sluice_model_state{model="demo",state="loaded"}': "1x60",
    'sluice_model_state{model="demo",state="failed"}': "_x60",
    'sluice_http_requests_total{status="200"}': "0+600x60",
    'sluice_http_requests_total{status="503"}': "0+30x60",
    'sluice_first_token_seconds_bucket{le="10.0"}': "0+100x60",
    'sluice_first_token_seconds_bucket{le="30.0"}': "0+100x60",
    'sluice_first_token_seconds_bucket{le="+Inf"}': "0+100x60",
    "sluice_waiting_requests": "8x60",
    "sluice_engine_waiting": "8x60",
    "sluice_engine_slots": "8x60",
    "sluice_settlement_failures_total": "0x60",
    "sluice_leases_seen_count": "0+1x60",
    "sluice_lease_overdue_seconds_count": "0+1x60",
    'sluice_lease_overdue_seconds_bucket{le="180.0"}': "0+1x60",
    "sluice_late_mails": "0x30 3x5 0x30",  # while the mail server was updated
    'sluice_dead_letters{place="dead-letters.jsonl"}': "0x60",
    "sluice_disk_free_bytes": "20e9x60",
    "sluice_disk_bytes": "100e9x60",
    "sluice_last_backup_timestamp_seconds": "-86400x60",
}
"""What Prometheus has fetched each minute of an hour that begins at 1970."""
TROUBLE: dict[str, list[dict[str, str]]] = {
    "SluiceDown": [{'up{job="sluice"}': "1x50 0x10"}],
    "SluiceStoreAway": [{'sluice_part_up{part="store"}': "1x50 0x10"}],
    "SluiceModelAway": [{'sluice_part_up{part="model"}': "1x40 0x20"}],
    "SluiceModelFailed": [{'sluice_model_state{model="demo",state="failed"}': "1x60"}],
    "SluiceServerErrors": [{'sluice_http_requests_total{status="503"}': "0+40x60"}],
    "SluiceSlowFirstToken": [{'sluice_first_token_seconds_bucket{le="10.0"}': "0+94x60"}],
    "SluiceQueue": [{"sluice_waiting_requests": "9x60"}, {"sluice_engine_waiting": "9x60"}],
    "SluiceSettlementsFail": [{"sluice_settlement_failures_total": "0x50 1x10"}],
    "SluiceSweeperSilent": [{"sluice_leases_seen_count": "0+1x30 30x30"}],
    "SluiceLeasesOverdue": [{'sluice_lease_overdue_seconds_bucket{le="180.0"}': "0+1x50 50+1x10"}],
    "SluiceMailsLate": [{"sluice_late_mails": "0x40 1x20"}],
    "SluiceDeadLetters": [{'sluice_dead_letters{place="dead-letters.jsonl"}': "0x50 1x10"}],
    "SluiceDiskFull": [
        {"sluice_disk_free_bytes": "0.9e9x60", "sluice_disk_bytes": "10e9x60"},
        {"sluice_disk_free_bytes": "4e9x60"},
    ],
    "SluiceBackupOld": [{"sluice_last_backup_timestamp_seconds": "-172801x60"}],
}


def test_each_alert_fires_on_its_own_trouble_and_none_where_all_is_well(tmp_path: Path) -> None:
    assert set(TROUBLE) == {rule["alert"] for rule in RULES}
    hours = [("", WELL), *((name, WELL | change) for name, changes in TROUBLE.items() for change in changes)]
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'

    def one(alert: str) -> dict[str, Any]:
        return {"labels": f'{{alertname="{alert}"}}', "value": 1}

    tests = [
        {
            "name": fires or "all is well",
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {"expr": firing, "eval_time": minute, "exp_samples": [one(fires)] if fires else []}
                for minute in (("59m",) if fires else ("36m", "59m"))
            ],
        }
        for fires, series in hours
    ]
    file = tmp_path / "hours.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_explained() -> None:
    explained = [
        row[0].strip("`") for row in markdown.rows(markdown.section(markdown.read("docs/operations.md"), "Watching"))
    ]
    assert {rule["alert"] for rule in RULES} <= set(explained)
