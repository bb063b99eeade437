"""The packages for the emulator: those of `sam build`, with a change for functions under the Web Adapter."""

import json
import shutil
import stat
from pathlib import Path
from typing import Any

from infra.aws.archive import zip_folders
from infra.aws.localstack import without_throttles
from infra.aws.stack import Bucket
from infra.aws.transform import Template, package, read, transform
from tests.aws.built import LAYER
from tests.aws.emulator.server import REGION
from tests.aws.runtime.tools import adapter

HERE = Path(__file__).parent
BOOTSTRAP = HERE / "bootstrap"
# `layer/bootstrap` of the adapter's crate: what AWS_LAMBDA_EXEC_WRAPPER names.
EXEC_WRAPPER = '#!/bin/bash\nexec -- "${LAMBDA_TASK_ROOT}/${_HANDLER}"\n'
CUSTOM_RUNTIME = "provided.al2023"


def deployable(
    build: Path, scratch: Path, bucket: Bucket, parameters: dict[str, str], *, throttles: bool = True
) -> Template:
    """The built template, packaged into the bucket and transformed by SAM, without what the emulator lacks."""
    template = read(build / "template.yaml")
    if not throttles:
        without_throttles(template)
    adapted = {name for name, one in template["Resources"].items() if _under_the_adapter(one)}

    def upload(name: str, folder: Path) -> str:
        if folder.is_file():  # a nested template
            uri = bucket.put(json.dumps(known(read(folder))).encode(), ".json")
            return uri.replace("s3://", f"https://s3.{REGION}.amazonaws.com/")  # as SAM has it; `sam delete` reads it
        archive = scratch / f"{name}.zip"
        if not archive.exists():  # a build is never written again
            under_it = name in adapted
            layer, around = ([(build / LAYER, "opt/")], [(_environment(scratch), "")]) if under_it else ([], [])
            zip_folders(archive, [*layer, (folder, ""), *around])
        return bucket.put_file(archive)

    packaged = package(template, build, upload)
    for name in adapted:  # see `bootstrap`, because the emulator has no layers and extensions for such a runtime
        properties = packaged["Resources"][name]["Properties"]
        properties |= {"Runtime": CUSTOM_RUNTIME, "Layers": []}
        packaged["Resources"][name]["IgnoreGlobals"] = ["Layers"]
    return known(transform(packaged, parameters))


def _under_the_adapter(resource: dict[str, Any]) -> bool:
    properties = resource.get("Properties", {})
    variables = properties.get("Environment", {}).get("Variables", {})
    return properties.get("PackageType") != "Image" and "AWS_LAMBDA_EXEC_WRAPPER" in variables


def _environment(scratch: Path) -> Path:
    """The variables that Lambda and the adapter's layer set: see `bootstrap`."""
    folder = scratch / "environment"
    (folder / "opt" / "extensions").mkdir(parents=True, exist_ok=True)
    shutil.copy(BOOTSTRAP, folder / "bootstrap")
    shutil.copy(adapter(), folder / "opt" / "extensions" / "lambda-adapter")
    (folder / "opt" / "bootstrap").write_text(EXEC_WRAPPER)
    for path in ("bootstrap", "opt/bootstrap", "opt/extensions/lambda-adapter"):
        (folder / path).chmod(stat.S_IRWXU)
    return folder


def known(template: Template) -> Template:
    """The template without what the emulator's CloudFormation does not support; no response depends on it."""
    resources, told = template["Resources"], template["Outputs"]
    for name in [name for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"]:
        if "Metrics" in resources[name]["Properties"]:  # an alarm on an expression of metrics
            del resources[name]
    for name in [name for name, one in resources.items() if one["Type"] == "AWS::S3::BucketPolicy"]:
        if "aws:SecureTransport" in json.dumps(resources[name]):  # no request here has TLS
            del resources[name]
    if "Api" in resources:
        api = resources["Api"]["Properties"]  # it takes `*~1*` literally
        api["BinaryMediaTypes"] = [kind.replace("~1", "/") for kind in api.get("BinaryMediaTypes", [])]
        _make_gateway_responses_resources(resources, api["Body"])
        for path in api["Body"]["paths"].values():
            if (method := path.pop("x-amazon-apigateway-any-method", None)) is not None:
                path["any"] = method
    for name, one in list(told.items()):
        if "DkimDNSToken" in json.dumps(one) or ("Ref" in one["Value"] and one["Value"]["Ref"] not in resources):
            del told[name]  # for the owner's DNS, or of an alarm that was left out
    return template


def _make_gateway_responses_resources(resources: dict[str, Any], body: dict[str, Any]) -> None:
    """Its CloudFormation reads only the paths of an API's `Body`, but knows gateway responses as resources."""
    made = {}
    for kind, told in body.pop("x-amazon-apigateway-gateway-responses", {}).items():
        properties = {"RestApiId": {"Ref": "Api"}, "ResponseType": kind}
        properties |= {name[0].upper() + name[1:]: value for name, value in told.items()}
        made["Response" + kind.replace("_", "")] = {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": properties,
        }
    for one in resources.values():
        if one["Type"] == "AWS::ApiGateway::Deployment":  # it takes the responses that there are when it is made
            one["DependsOn"] = list(made)
    resources |= made
