"""The inference image without Docker: its files, environment and command from its Dockerfile, beside the adapter."""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.aws.runtime.processes import running
from tests.aws.runtime.runtime_api import RuntimeApi, runtime_api
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "functions" / "inference" / "Dockerfile"
APP = "/app"
OF_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "InferenceFunction",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/InferenceFunction",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[1]abc",
}


def final_stage() -> dict[str, list[str]]:
    """Instruction → its arguments, in the file's order, with arguments of the build put in."""
    lines = DOCKERFILE.read_text().rpartition("\nFROM ")[2].replace("\\\n", " ").splitlines()[1:]
    found: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, _, argument = line.partition(" ")
            found.setdefault(name, []).append(argument)
    arguments = dict(one.split("=", 1) for one in found["ARG"])
    found["COPY"] = [re.sub(r"\$\{(\w+)\}", lambda one: arguments[one[1]], copy) for copy in found["COPY"]]
    return found


@contextmanager
def container(adapter: Path, folder: Path) -> Iterator[RuntimeApi]:
    """Its process, and the adapter as Lambda's extension, until both are killed. `folder` stands for the root."""
    stage, port = final_stage(), str(free_port())
    for copy in stage["COPY"]:
        if not copy.startswith("--from"):
            *sources, target = copy.split()
            for source in sources:
                _copied(ROOT / source, folder / target.lstrip("/"), into=target.endswith("/"))
    declared = dict(word.split("=", 1) for line in stage["ENV"] for word in shlex.split(line))
    variables = {name: value.replace(APP, str(folder / "app")) for name, value in declared.items()}
    variables |= {  # this machine's packages, and a port and a folder of the test's own
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "SLUICE_INFERENCE_BIND": declared["SLUICE_INFERENCE_BIND"].replace("8080", port),
        "AWS_LWA_PORT": declared["AWS_LWA_PORT"].replace("8080", port),
        "SLUICE_DATA_DIR": str(folder / "tmp"),
    }
    place, log = folder / stage["WORKDIR"][0].lstrip("/"), folder / "log"
    with ExitStack() as stack:
        api = stack.enter_context(runtime_api())
        variables |= {"AWS_LAMBDA_RUNTIME_API": api.address, **OF_LAMBDA}
        stack.enter_context(running(json.loads(stage["CMD"][0]), variables, place, log))
        stack.enter_context(running([adapter], variables, place, log))
        try:
            yield api
        except BaseException:
            sys.stderr.write(log.read_text(errors="replace"))
            raise


def _copied(source: Path, target: Path, *, into: bool) -> None:
    target = target / source.name if into else target
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)
