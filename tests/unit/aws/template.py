"""The templates as data: the source, and the result of SAM's transform.

`RESOURCES` reads as one template: imports of data.yaml and parameters of alarms.yaml are what they stand for.
"""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.aws.together import together
from infra.aws.transform import package, transform

ROOT = Path(__file__).parents[3]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """CloudFormation's short forms, in the long form."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)


def source(path: str = "template.yaml") -> dict[str, Any]:
    """A new copy for each call, because the translator changes its input; without YAML's shared objects."""
    read: dict[str, Any] = json.loads(json.dumps(yaml.load((ROOT / path).read_text(), _Loader)))
    return read


DATA: dict[str, Any] = source("infra/aws/data.yaml")
ALARMS: dict[str, Any] = source("infra/aws/alarms.yaml")
TEMPLATE: dict[str, Any] = source()
RESOURCES: dict[str, dict[str, Any]] = together(TEMPLATE, DATA, ALARMS)
FUNCTIONS = {name: one for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
for _one in FUNCTIONS.values():  # one that has the role of another may do the same
    if "Role" in _one["Properties"]:
        _owner = FUNCTIONS[_one["Properties"]["Role"]["Fn::GetAtt"][0].removesuffix("Role")]
        _one["Properties"]["Policies"] = _owner["Properties"]["Policies"]
SHARED = {name: TEMPLATE["Globals"]["Function"][name] for name in ("Handler", "Runtime", "Layers")}
ZIPPED = {name: {**SHARED, **one["Properties"]} for name, one in FUNCTIONS.items() if "CodeUri" in one["Properties"]}
EVENTS = {
    (name, event): one
    for name, function in FUNCTIONS.items()
    for event, one in function["Properties"].get("Events", {}).items()
}


def transformed(*, few: bool = False, **parameters: str) -> dict[str, Any]:
    """As CloudFormation gets it from SAM; no call to AWS. Parameters left out have their defaults. A fresh copy.
    `few`: with few routes."""
    made: dict[str, Any] = json.loads(_transformed(few, tuple(sorted(parameters.items()))))
    return made


@cache
def _transformed(few: bool, parameters: tuple[tuple[str, str], ...]) -> str:
    template = package(source(), ROOT, lambda name, _: f"s3://a-bucket/{name}")
    defaults = {name: one.get("Default", "https://example.com") for name, one in template["Parameters"].items()}
    return json.dumps(transform(few_routes(template) if few else template, {**defaults, **dict(parameters)}))


def few_routes(template: dict[str, Any]) -> dict[str, Any]:
    """With the first route of each function: SAM copies the whole API for each route, ten seconds of CPU in all."""
    template = copy.deepcopy(template)
    for one in template["Resources"].values():
        if events := one.get("Properties", {}).get("Events"):
            routes = [name for name, event in events.items() if event["Type"] == "Api"]
            for name in routes[1:]:
                del events[name]
    return template
