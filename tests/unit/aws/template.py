"""The templates as data: the source, and the result of SAM's transform.

`RESOURCES` reads as one template: imports of data.yaml and parameters of alarms.yaml are what they stand for.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from samtranslator.translator.transform import transform

from infra.aws.together import together

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


def transformed(**parameters: str) -> dict[str, Any]:
    """As CloudFormation gets it from SAM; no call to AWS. Parameters left out have their defaults. A fresh copy."""
    made: dict[str, Any] = json.loads(_transformed(tuple(sorted(parameters.items()))))
    return made


@cache
def _transformed(parameters: tuple[tuple[str, str], ...]) -> str:
    template = source()
    for one in template["Resources"].values():  # what `sam package` puts in their place
        properties = one.get("Properties", {})
        properties |= {key: "s3://a-bucket/key" for key in ("CodeUri", "ContentUri") if key in properties}
        if properties.get("PackageType") == "Image":
            properties["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/inference:1"
    defaults = {name: one.get("Default", "https://example.com") for name, one in template["Parameters"].items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return json.dumps(transform(template, {**defaults, **dict(parameters)}, _NoManagedPolicies()))


class _NoManagedPolicies:
    """The template spells every policy out, so AWS's managed policies are not looked up."""

    def load(self) -> dict[str, str]:
        return {
            name: f"arn:aws:iam::aws:policy/{name}"
            for name in ("service-role/AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess")
        }
