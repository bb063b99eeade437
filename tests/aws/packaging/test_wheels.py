"""What the layer and the functions want is there as wheels for the functions' Python, for both processors.

Without `sam build`: uv installs for a foreign processor, with the tag that SAM asks pip for.
"""

import re
import subprocess
from pathlib import Path

import pytest

from infra.aws import bytecode
from tests.aws.packaging.test_functions import GLIBC, RUNTIMES_GLIBC, elf
from tests.aws.tools.install import ROOT, UV

PROCESSORS = {"arm64": ("aarch64", "AArch64"), "x86_64": ("x86_64", "X86-64")}
WANTED = sorted(
    path.parent for path in [*ROOT.glob("layers/*/requirements.txt"), *ROOT.glob("functions/*/requirements.txt")]
)
PACKAGES = [path for path in WANTED if not (path / "Dockerfile").exists()]  # the image has its own Python
INSTALL_SECONDS = 240
COMPILED = re.compile(r"\.cpython-(\d+)-")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
@pytest.mark.parametrize("architecture", PROCESSORS)
def test_packages_are_wheels_for_the_runtime_and_the_processor(
    package: Path, architecture: str, tmp_path: Path
) -> None:
    tag, machine = PROCESSORS[architecture]
    words: list[str | Path] = [UV, "pip", "install", "--quiet", "--target", tmp_path, "--only-binary", ":all:"]
    words += ["--python-version", bytecode.NAME.removeprefix("python"), "--python-platform", f"{tag}-manylinux2014"]
    subprocess.run([*words, "--requirements", package / "requirements.txt"], check=True, timeout=INSTALL_SECONDS)
    libraries = sorted(tmp_path.rglob("*.so*"))
    machines = {line.split()[-1] for each in libraries for line in elf(each, "-h").splitlines() if "Machine:" in line}
    assert libraries and machines == {machine}
    minors = [int(minor) for each in libraries for minor in GLIBC.findall(elf(each, "--version-info"))]
    assert max(minors) <= RUNTIMES_GLIBC
    versions = {found[1] for each in libraries if (found := COMPILED.search(each.name))}
    assert versions <= {bytecode.NAME.removeprefix("python").replace(".", "")}
