"""What is tested here is what is deployed."""

import re
from typing import Any

from tests.aws.runtime.tools import ADAPTER_VERSION
from tests.aws.runtime.variables import ROOT, template

# The adapter's README of each release names its layer's version: 0.9.1's is 24. 25 is 1.0.0-rc1's, a candidate.
LAYER_VERSIONS = {"0.9.0": "23", "0.9.1": "24"}


def test_the_web_adapter_is_the_layers_and_the_images() -> None:
    layers = re.findall(r"753240598075:layer:\S+?:(\d+)", str(_gateway()["Layers"]))
    assert layers == [LAYER_VERSIONS[ADAPTER_VERSION]]
    image = (ROOT / "functions" / "inference" / "Dockerfile").read_text()
    assert re.findall(r"aws-lambda-adapter:(\S+)", image) == [ADAPTER_VERSION]


def test_settling_has_time_before_lambda_ends_the_gateway() -> None:
    """Also by the fixed deadline alone: what the model may be silent at the end, and settling with a store away."""
    variables = _gateway()["Environment"]["Variables"]
    assert float(variables["SLUICE_REQUEST_DEADLINE_SECONDS"]) + 30 <= _gateway()["Timeout"]


def _gateway() -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"]["GatewayFunction"]["Properties"]
    return found
