"""The output of `sam build` for template.yaml: every zip function and the layer, for this machine's processor.

`built()` is for every suite below tests/aws. It builds once for each state of the sources, under a lock between
processes, into a folder that is never written again, so that no test runs a half-finished build. Without Docker the
image function is left out (`SkipBuild`); tests/unit/inference/test_image.py checks its Dockerfile.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from infra.aws import bytecode
from infra.aws.building import without_image
from tests.aws.locks import held
from tests.aws.tools import install

ROOT = Path(__file__).parents[2]
BUILDS = ROOT / ".aws-sam" / "tests"
SOURCES = (
    "template.yaml",
    "infra/aws/alarms.yaml",
    "functions",
    "layers",
    "infra/aws/bytecode.py",
    "infra/aws/compiling.py",
    "tests/aws/tools/sam.lock",
)
BUILD_SECONDS = 900
KEPT_SECONDS = 3 * 3600.0  # older builds are removed; no suite runs that long
LAYER = "CoreLayer"


class BuildFailed(Exception):
    """`sam build` failed; the message holds its standard output and error."""


@cache
def built(architecture: str = "") -> Path:
    """Returns the folder with `template.yaml`, a folder for each function's logical id, and `CoreLayer/python`.

    `architecture`: arm64 or x86_64, this machine's unless named. Errors: BuildFailed, subprocess.CalledProcessError
    (SAM's command cannot be installed).
    """
    architecture = architecture or ("arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64")
    builds = BUILDS / architecture  # SAM keeps its state beside the build, where two builds at once would conflict
    with held(builds / "lock"):
        folder = builds / f"build-{fingerprint()}"
        if not (folder / "template.yaml").is_file():
            _clear_old(builds)
            _build(install.install("sam"), folder, architecture)
        os.utime(folder)
    return folder


def layer_path(folder: Path) -> Path:
    """The layer's folder that Lambda puts on a function's path as `/opt/python`."""
    return folder / LAYER / "python"


def fingerprint() -> str:
    """A hash of every file that goes into a build."""
    digest = hashlib.sha256()
    for source in SOURCES:
        top = ROOT / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(sam: Path, folder: Path, architecture: str) -> None:
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    source = folder.with_suffix(".yaml")
    source.write_text(without_image((ROOT / "template.yaml").read_text()))
    words: list[str | Path] = [sam, "build", "--template", source, "--base-dir", ROOT, "--build-dir", draft]
    words += ["--cached", "--cache-dir", folder.parent / "cache", "--parallel"]
    words += ["--parameter-overrides", f"Architecture={architecture}"]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=BUILD_SECONDS)
    source.unlink()
    if done.returncode:
        raise BuildFailed(f"{done.stdout}\n{done.stderr}")
    if bytecode.interpreter():  # as `make deploy` does
        bytecode.compile_build(draft)
    draft.rename(folder)


def environment() -> dict[str, str]:
    """No account, no telemetry; SAM's builder looks for a Python of the functions' version on the path."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLUICE_", "PYTHON"))}
    runtime = [str(Path(python).parent)] if (python := bytecode.interpreter()) else []
    return mine | {
        "PATH": os.pathsep.join([str(install.TOOLS / "sam" / "bin"), *runtime, mine.get("PATH", "")]),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_BETA_FEATURES": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def _clear_old(builds: Path) -> None:
    for old in builds.glob("build-*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    began = time.monotonic()
    try:
        sys.stdout.write(f"{built(*sys.argv[1:2])}\n")
    except BuildFailed as exc:
        sys.exit(str(exc))
    sys.stderr.write(f"{time.monotonic() - began:.1f} s\n")
