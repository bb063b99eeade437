"""`python -m tests.clients.install`: the clients into `.tools`, by their lock files, once.

Not among the development dependencies: they weigh more than everything else together, and their pins conflict.
"""

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.aws.locks import held
from tests.aws.tools.install import TOOLS, install
from tests.clients.catalogue import FRAMEWORKS, HERE, LLAMA_INDEX, NPM, WRAPPERS

NODE = TOOLS / "clients"
INSTALL_SECONDS = 600


@cache
def python(lock: Path) -> Path:
    """The interpreter beside the locked packages. Safe to call concurrently. Errors: subprocess.CalledProcessError."""
    return install(lock.stem, HERE).with_name("python")


@cache
def node_modules() -> Path:
    """Safe to call concurrently. Errors: subprocess.CalledProcessError, FileNotFoundError (there is no npm)."""
    stamp, wanted = NODE / "sluice.stamp", hashlib.sha256(os.fsencode(NODE) + NPM.read_bytes()).hexdigest()
    with held(TOOLS / "clients.lock"):
        if not stamp.is_file() or stamp.read_text() != wanted:
            NODE.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                (NODE / name).write_bytes((HERE / name).read_bytes())
            _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
            stamp.write_text(wanted)
    return NODE / "node_modules"


def _npm(*words: str) -> None:
    subprocess.run(["npm", "--silent", *words], cwd=NODE, check=True, timeout=INSTALL_SECONDS)


if __name__ == "__main__":
    for each in (FRAMEWORKS, WRAPPERS, LLAMA_INDEX):
        sys.stdout.write(f"{python(each)}\n")
    sys.stdout.write(f"{node_modules()}\n")
