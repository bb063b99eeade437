"""`python -m tests.aws.tools.install`: SAM's command and checkov into `.tools/NAME`, by their lock files, once.

Not among the development dependencies: both pin old versions of packages that the project has newer, and weigh more
than everything else together.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from infra.aws import bytecode
from tests.aws.locks import held

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TOOLS = ROOT / ".tools"
UV = ROOT / ".venv" / "bin" / "uv"
NAMES = ("sam", "checkov")
RUNS_FUNCTIONS = ("ministack", "ric")
INSTALL_SECONDS = 600


def command(name: str) -> Path:
    return TOOLS / name / "bin" / name


def install(name: str, locks: Path = HERE) -> Path:
    """Returns the command. Safe to call concurrently. Errors: subprocess.CalledProcessError, TimeoutExpired."""
    lock = locks / f"{name}.lock"
    stamp, wanted = TOOLS / name / "sluice.stamp", _fingerprint(name, lock)
    TOOLS.mkdir(exist_ok=True)
    with held(TOOLS / f"{name}.lock"):
        if stamp.is_file() and stamp.read_text() == wanted:
            return command(name)
        folder = TOOLS / name
        _run(UV, "venv", "--quiet", "--clear", "--python", _python(name), folder)
        python = folder / "bin" / "python"
        _run(UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--requirements", lock)
        stamp.write_text(wanted)
    return command(name)


def _python(name: str) -> str:
    """What runs our functions needs a Python of their version."""
    return (bytecode.interpreter() if name in RUNS_FUNCTIONS else None) or sys.executable


def _fingerprint(name: str, lock: Path) -> str:
    """A checkout that was moved has an environment that points to the old place: its path is part of it."""
    made_by = os.fsencode(ROOT) + _python(name).encode() + sys.version.encode()
    return hashlib.sha256(made_by + lock.read_bytes()).hexdigest()


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, timeout=INSTALL_SECONDS, cwd=ROOT)


if __name__ == "__main__":
    for each in NAMES:
        sys.stdout.write(f"{install(each)}\n")
