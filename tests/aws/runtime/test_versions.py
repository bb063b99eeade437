"""The tested versions are the deployed ones."""

import re
from typing import Any

from tests.aws.runtime.tools import ADAPTER_VERSION
from tests.aws.runtime.variables import ROOT, template

# The README at a release's tag names the image and the layer of the release before: at v1.0.0-rc1 they are 0.9.1 and 25
# (after it: #871 of aws/aws-lambda-web-adapter).
LAYER_VERSIONS = {"0.9.0": "24", "0.9.1": "25", "1.0.0-rc1": "26", "1.0.1": "28", "1.1.0": "30"}


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
