"""`python -m tests.clients.install`: the clients into `.tools`, by their lock files, once.

Not among the development dependencies: they weigh more than everything else together, and their pins conflict.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.aws.locks import held
from tests.aws.tools.install import TOOLS, install
from tests.clients.catalogue import FRAMEWORKS, HERE, LLAMA_INDEX, LM_EVAL, WRAPPERS

INSTALL_SECONDS = 600


@cache
def python(lock: Path) -> Path:
    """The interpreter beside the locked packages. Safe to call concurrently. Errors: subprocess.CalledProcessError."""
    return install(lock.stem, HERE).with_name("python")


@cache
def source(package: str, lock: Path) -> Path:
    """The unpacked source package of the locked version, which has the tests. Safe to call concurrently.

    Errors: LookupError (not locked), subprocess.CalledProcessError."""
    pins = re.search(rf"^{package}==(\S+)(?: \\\n +--hash=\S+)+", lock.read_text(), re.MULTILINE)
    if pins is None:
        raise LookupError(f"{lock.name} does not pin {package}")
    folder = TOOLS / f"{package}-{pins[1]}"
    with held(folder.with_name(folder.name + ".lock")), tempfile.TemporaryDirectory(dir=TOOLS) as scratch:
        if not folder.is_dir():
            _download(package, pins[0], Path(scratch))
            os.rename(Path(scratch) / folder.name, folder)
    return folder


def _download(package: str, pins: str, into: Path) -> None:
    (into / "pins").write_text(pins)
    words = ("download", "--quiet", "--no-deps", "--require-hashes", "--no-binary", package, "--requirement", "pins")
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=into, check=True, timeout=INSTALL_SECONDS)
    (archive,) = into.glob("*.tar.gz")
    shutil.unpack_archive(archive, into, filter="data")


@cache
def node_modules(source: Path = HERE) -> Path:
    """What the lock file of a folder pins. Safe to call concurrently. Errors: subprocess.CalledProcessError,
    FileNotFoundError (there is no npm)."""
    folder, lock = TOOLS / source.name, (source / "package-lock.json").read_bytes()
    stamp, wanted = folder / "sluice.stamp", hashlib.sha256(os.fsencode(folder) + lock).hexdigest()
    with held(TOOLS / f"{source.name}.lock"):
        if not stamp.is_file() or stamp.read_text() != wanted:
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                (folder / name).write_bytes((source / name).read_bytes())
            words = ("npm", "--silent", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            subprocess.run(words, cwd=folder, check=True, timeout=INSTALL_SECONDS)
            stamp.write_text(wanted)
    return folder / "node_modules"


if __name__ == "__main__":
    for each in (FRAMEWORKS, WRAPPERS, LLAMA_INDEX, LM_EVAL):
        sys.stdout.write(f"{python(each)}\n")
    sys.stdout.write(f"{source('openai', FRAMEWORKS)}\n{node_modules()}\n")
