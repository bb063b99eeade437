"""The tested versions are the deployed ones."""

import re
from typing import Any

from tests.aws.runtime.tools import ADAPTER_VERSION
from tests.aws.runtime.variables import ROOT, template

# The adapter's README of each release names its layer's version: 0.9.1's is 24. 25 is 1.0.0-rc1's, a candidate.
LAYER_VERSIONS = {"0.9.0": "23", "0.9.1": "24"}


def test_the_tested_web_adapter_has_the_version_of_layer_and_image() -> None:
    layers = re.findall(r"753240598075:layer:\S+?:(\d+)", str(_gateway()["Layers"]))
    assert layers == [LAYER_VERSIONS[ADAPTER_VERSION]]
    image = (ROOT / "functions" / "inference" / "Dockerfile").read_text()
    assert re.findall(r"aws-lambda-adapter:(\S+)", image) == [ADAPTER_VERSION]


def test_the_settlement_has_time_before_lambdas_timeout() -> None:
    """The fixed deadline leaves time for a silent model and for a settlement with an unavailable store."""
    variables = _gateway()["Environment"]["Variables"]
    assert float(variables["SLUICE_REQUEST_DEADLINE_SECONDS"]) + 30 <= _gateway()["Timeout"]


def _gateway() -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"]["GatewayFunction"]["Properties"]
    return found
