"""Packages functions for emulators without layers: each zip contains `core`, and the gateway answers without streaming.

LocalStack's free edition ignores layers. So each zip contains the layer's files, and a handler replaces the gateway's
Web Adapter, which is a layer as well; streams arrive as a whole at their end. No route streams, because LocalStack 4.14
cuts an integration's address at `/invocations` and would call a function that does not exist.
"""

import copy
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.aws.archive import add, zip_folders
from infra.aws.transform import Template, package

LAYER = "CoreLayer"
READABLE = 0o755
BUFFERED_MODULE, BUFFERED_HANDLER = "buffered.py", "buffered.handler"
BUFFERED = '''"""The gateway without the Web Adapter: takes a proxy event and answers as a whole."""
from apig_wsgi import make_lambda_handler

from app import create

handler = make_lambda_handler(create(), binary_support=True)
'''


def is_zipped(resource: dict[str, Any]) -> bool:
    return bool(
        resource["Type"] == "AWS::Serverless::Function" and resource["Properties"].get("PackageType") != "Image"
    )


def is_adapted(resource: dict[str, Any]) -> bool:
    """Whether the function uses the Web Adapter."""
    variables = resource["Properties"].get("Environment", {}).get("Variables", {})
    return is_zipped(resource) and "AWS_LAMBDA_EXEC_WRAPPER" in variables


def vendor(build: Path, name: str, target: Path, *, adapted: bool) -> Path:
    """Write the function's zip with `core`. `build`: the folder of `sam build`. `core` is zipped once per folder.

    The function's files win over those of `core`, because on Lambda /var/task comes before /opt/python.
    """
    core = target.with_name("core.zip")
    if not core.exists():
        zip_folders(core, [(build / LAYER / "python", "")])
    own = {path.relative_to(build / name).as_posix(): path for path in (build / name).rglob("*") if path.is_file()}
    if not adapted and any(
        (build / LAYER / "python" / path).is_file() for path in own
    ):  # a zip may have each name only once
        return zip_folders(target, [(build / LAYER / "python", ""), (build / name, "")])
    shutil.copyfile(core, target)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(own):
            if "__pycache__" not in path:
                add(archive, path, own[path].read_bytes(), READABLE)
        if adapted:
            add(archive, BUFFERED_MODULE, BUFFERED.encode(), READABLE)
    return target


def without_layers(template: Template) -> Template:
    """A copy without layers."""
    changed = copy.deepcopy(template)
    changed["Globals"]["Function"].pop("Layers", None)
    for resource in changed["Resources"].values():
        if "Layers" in resource.get("IgnoreGlobals", []):
            resource["IgnoreGlobals"].remove("Layers")  # SAM refuses a name that is not in Globals
        if not is_zipped(resource):
            continue
        resource["Properties"].pop("Layers", None)
        if is_adapted(resource):
            variables = resource["Properties"]["Environment"]["Variables"]
            for variable in [one for one in variables if one.startswith(("AWS_LAMBDA_EXEC", "AWS_LWA_"))]:
                del variables[variable]
            resource["Properties"]["Handler"] = BUFFERED_HANDLER
        for event in resource["Properties"].get("Events", {}).values():
            for streaming in ("ResponseTransferMode", "TimeoutInMillis"):
                event["Properties"].pop(streaming, None)
    del changed["Resources"][LAYER]
    return changed


def packaged(template: Template, build: Path, scratch: Path, upload: Callable[[Path], str]) -> Template:
    """The built template, with every zip vendored and uploaded, ready for transform()."""
    adapted = {name for name, one in template["Resources"].items() if is_zipped(one) and is_adapted(one)}

    def put(name: str, folder: Path) -> str:
        if folder.is_file():  # a nested template
            return upload(folder)
        return upload(vendor(build, name, scratch / f"{name}.zip", adapted=name in adapted))

    return package(without_layers(template), build, put)
