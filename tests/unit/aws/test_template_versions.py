"""A changed parameter reaches the functions: their alias is of a published version, which keeps its environment.

SAM publishes a new one where the code or the template's text changes, and a `!Ref` is the same text whatever its
parameter holds. A version's description cannot be changed, so one that holds the values is made anew with them. It must
name exactly the parameters that the function's configuration has: with one more there would be nothing new to publish,
which Lambda refuses; with one less the change would not arrive.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.aws.transform import read

TEMPLATE = read(Path(__file__).parents[3] / "template.yaml")
FUNCTIONS = {
    name: one["Properties"] for name, one in TEMPLATE["Resources"].items() if one["Type"] == "AWS::Serverless::Function"
}
CONFIGURATION = ("Environment", "MemorySize", "Timeout", "EphemeralStorage", "Layers", "LoggingConfig", "Architectures")
FOR_LIFE = {
    "DataStack",
    "TablePrefix",
    "KeyPath",
    "Architecture",
}  # a new value of these makes another stack or other code


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_version_is_described_by_the_parameters_of_its_configuration(name: str) -> None:
    properties = FUNCTIONS[name]
    used = parameters({key: properties[key] for key in CONFIGURATION if key in properties}) - FOR_LIFE
    assert parameters(properties.get("VersionDescription", "")) == used


def test_the_shared_variables_refer_to_no_parameter_that_changes() -> None:
    shared = {key: value for key, value in TEMPLATE["Globals"]["Function"].items() if key in CONFIGURATION}
    assert parameters(shared) <= FOR_LIFE


def parameters(value: Any) -> set[str]:
    """The template's parameters that it names by `Ref` or in a `Fn::Sub`."""
    text = json.dumps(value)
    named = set(re.findall(r'"Ref": "(\w+)"', text)) | set(re.findall(r"\$\{(\w+)", text))
    return named & set(TEMPLATE["Parameters"])
