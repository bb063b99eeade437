"""`template.yaml` as CloudFormation gets it from SAM, on this machine: no account and no call to AWS.

`read` → `package` (what `sam package` does) → `transform` (what the macro `AWS::Serverless-2016-10-31` does).
"""

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

Template = dict[str, Any]
# Where a resource names what is uploaded for it: a folder or a zip in the source, an S3 URI after packaging.
CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
NOT_BUILT_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/not-built:1"  # for a template that leaves the image out
MANAGED_POLICIES = {
    name: f"arn:aws:iam::aws:policy/{name}"
    for name in ("service-role/AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess")
}


def read(path: Path) -> Template:
    """The source, or the one that `sam build` wrote, whose code paths are the built folders."""
    from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

    template: Template = yaml_parse(path.read_text())
    return template


def package(template: Template, folder: Path, upload: Callable[[str, Path], str]) -> Template:
    """A copy whose code is where `upload(logical id, folder of the code)` says: an S3 URI.

    `folder` is what relative paths start from. An image function keeps no image: it is for who builds one.
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
    """Every `AWS::Serverless::…` as the resources it stands for. `parameters` that have a default may be left out.

    Errors: samtranslator's InvalidDocumentException.
    """
    from samtranslator.translator.transform import transform as sam_transform  # type: ignore[import-untyped]

    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": region}):  # the translator asks the environment
        made: Template = sam_transform(copy.deepcopy(template), dict(parameters), _ManagedPolicies())
    return made


class _ManagedPolicies:
    """The translator asks AWS for its managed policies' ARNs; these are the ones that it adds by itself."""

    def load(self) -> dict[str, str]:
        return MANAGED_POLICIES
