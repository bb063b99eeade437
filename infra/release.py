"""`make release`: wheel, sdist, changes, bill of materials, checksums and their signature, of what git has at a tag.

The bytes depend on the tag alone: files of the working tree are not read, and times are the commit's. So anybody can
make them again, and compare (docs/adr/0103-installed-as-a-tool.md).
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from infra.place import ROOT

SUMS = "SHA256SUMS"
NAMESPACE = "file"  # what ssh-keygen's manual names for ordinary files


class ReleaseError(Exception):
    """Why there is no release, as a sentence for the terminal."""


def release(ref: str, dist: Path, key: str = "") -> Path:
    """The folder of the release. `key`: the file of an SSH key; "": no signature. Errors: ReleaseError."""
    found = _run("git", "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", why=f"there is no {ref} in git")
    commit = found.decode().strip()
    seconds = _run("git", "show", "--no-patch", "--format=%ct", commit).decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        with tarfile.open(fileobj=io.BytesIO(_run("git", "archive", commit))) as packed:
            packed.extractall(tree, filter="data")
        version = tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"]
        changes = changes_of(version, (tree / "CHANGELOG.md").read_text())
        made = dist / f"v{version}"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        build = ("hatchling", "build", "--target", "sdist", "--target", "wheel", "--directory", str(made.absolute()))
        _run(sys.executable, "-m", *build, cwd=tree, SOURCE_DATE_EPOCH=seconds)
        _run("make", "sbom", f"FROM={tree}", f"SBOM={made / f'sluice-gateway-{version}.cdx.json'}")
    (made / "CHANGES.md").write_text(changes)
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(made.iterdir())]
    (made / SUMS).write_text("".join(sums))
    if key:
        _run("ssh-keygen", "-Y", "sign", "-f", str(Path(key).expanduser()), "-n", NAMESPACE, str(made / SUMS))
    return made


def changes_of(version: str, changelog: str) -> str:
    """The section of a version. Raises ReleaseError if there is none with a date."""
    found = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n.*?(?=^## |\Z)", changelog, re.M | re.S)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section “## [{version}] - YYYY-MM-DD”")
    return found[0].rstrip() + "\n"


def _run(*words: str, cwd: Path = ROOT, why: str = "", **env: str) -> bytes:
    done = subprocess.run(words, cwd=cwd, env=os.environ | env, capture_output=True)
    if done.returncode:
        raise ReleaseError(why or f"{' '.join(words)} failed:\n{done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def main() -> None:
    from sluice import __version__

    try:
        made = release(os.environ.get("REF") or f"v{__version__}", ROOT / "dist", os.environ.get("SIGNING_KEY", ""))
    except ReleaseError as exc:
        sys.exit(f"sluice: {exc}")
    print(*sorted(made.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
