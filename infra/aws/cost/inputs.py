"""The inputs of the cost model: counted calls, list prices, assumptions, and the template."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from infra.aws.transform import read

FOLDER = Path(__file__).parent
COUNTS = FOLDER / "counts.json"
TEMPLATE = FOLDER.parents[2] / "template.yaml"
OTHERS = (FOLDER.parent / "data.yaml", FOLDER.parent / "alarms.yaml")


@cache
def counts() -> dict[str, dict[str, Any]]:
    return dict(json.loads(COUNTS.read_text()))


@cache
def price_list() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "prices.json").read_text()))


def price(name: str) -> float:
    return float(price_list()["prices"][name]["usd"])


def free(name: str) -> float:
    return float(price_list()["prices"][name].get("free", 0))


@cache
def assumptions() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "assumptions.json").read_text()))


def assumed(name: str) -> float:
    return float(assumptions()[name]["value"])


@cache
def template() -> dict[str, Any]:
    return dict(read(TEMPLATE))


@cache
def resources() -> dict[str, Any]:
    """Those of all templates; no two have a name in common."""
    return {name: one for path in (TEMPLATE, *OTHERS) for name, one in read(path)["Resources"].items()}


def memory_mb(function: str) -> int:
    """The function's MemorySize in the template, or the template's default."""
    size = resources()[function]["Properties"].get("MemorySize") or template()["Globals"]["Function"]["MemorySize"]
    return int(template()["Parameters"][size["Ref"]]["Default"] if isinstance(size, dict) else size)


def alarm_metrics() -> int:
    """The number of metrics in all alarms, which is what AWS bills. A computed alarm has several."""
    alarms = [one["Properties"] for one in resources().values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    return sum(max(1, sum("MetricStat" in metric for metric in alarm.get("Metrics", []))) for alarm in alarms)


def count_of(kind: str) -> int:
    return sum(one["Type"] == kind for one in resources().values())
