"""Transforms `template.yaml` as SAM does, on this machine and without AWS.

`read` → `package` (what `sam package` does) → `transform` (what the macro `AWS::Serverless-2016-10-31` does).
"""

import copy
import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

Template = dict[str, Any]
# The property with the code: a folder, a zip or a nested template in the source, an address after packaging.
CODE = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::CloudFormation::Stack": "TemplateURL",
}
NOT_BUILT_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/not-built:1"  # for a template without the image
MANAGED_POLICIES = {
    name: f"arn:aws:iam::aws:policy/{name}"
    for name in ("service-role/AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess")
}


def read(path: Path) -> Template:
    """Parse template.yaml, or the template that `sam build` wrote. Each YAML anchor becomes copies."""
    template: Template = json.loads(_as_json(path.read_text()))
    return template


@lru_cache(maxsize=8)  # SAM's parser takes half a second, and a deployment reads the same templates many times
def _as_json(text: str) -> str:
    from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

    return json.dumps(yaml_parse(text))


def package(template: Template, folder: Path, upload: Callable[[str, Path], str]) -> Template:
    """A copy whose code properties are the addresses that `upload(logical id, folder or template)` returns.

    `folder`: the base of relative paths. An image function gets a placeholder instead of an image.
    """
    packaged = copy.deepcopy(template)
    for name, resource in packaged["Resources"].items():
        properties = resource.get("Properties", {})
        key = CODE.get(resource["Type"], "")
        if isinstance(properties.get(key), str):
            properties[key] = upload(name, folder / properties[key])
        if properties.get("PackageType") == "Image":
            properties.setdefault("ImageUri", NOT_BUILT_IMAGE)
    return packaged


def transform(template: Template, parameters: Mapping[str, str], region: str = "us-east-1") -> Template:
    """The template with every `AWS::Serverless::…` resource expanded. `parameters` without defaults are required.

    Raises samtranslator's InvalidDocumentException.
    """
    from samtranslator.translator.transform import transform as sam_transform  # type: ignore[import-untyped]

    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": region}):  # the translator reads the environment
        made: Template = sam_transform(copy.deepcopy(template), dict(parameters), _ManagedPolicies())
    return made


class _ManagedPolicies:
    """The ARNs of managed policies that the translator adds, which it would otherwise request from AWS."""

    def load(self) -> dict[str, str]:
        return MANAGED_POLICIES
