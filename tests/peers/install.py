"""`python -m tests.peers.install`: other model servers into `.tools/peers`, by their lock file, once; and stripe-mock,
which Go builds in a minute.

Not among the development dependencies, because the product needs none of them. llama-cpp-python is the one of `.venv`,
because it compiles for minutes.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.aws.locks import held
from tests.aws.tools.install import TOOLS, install

STRIPE_MOCK = "0.203.0"
BUILD_SECONDS = 600
HERE = Path(__file__).parent


@cache
def python() -> Path:
    """The interpreter beside the locked packages. Safe to call concurrently. Errors: subprocess.CalledProcessError,
    subprocess.TimeoutExpired, LookupError (there is no llama-cpp-python here)."""
    found = install("peers", HERE).with_name("python")
    _link_llama_cpp(found)
    return found


@cache
def other_models() -> Path:
    """The interpreter beside MLServer and a small vision model, whose packages pin old versions of others."""
    return install("inference", HERE).with_name("python")


@cache
def stripe_mock() -> Path:
    """The program, from the Go proxy, whose checksum database knows the version. Errors: as `python`; LookupError:
    there is no Go here."""
    if (go := shutil.which("go")) is None:
        raise LookupError("it is built by Go, and there is none: install Go (Debian: golang)")
    folder = TOOLS / f"stripe-mock-{STRIPE_MOCK}"
    with held(TOOLS / "stripe-mock.lock"):
        if not folder.is_dir():
            draft = folder.with_name(folder.name + ".draft")
            shutil.rmtree(draft, ignore_errors=True)
            words = [go, "install", f"github.com/stripe/stripe-mock@v{STRIPE_MOCK}"]
            subprocess.run(words, check=True, timeout=BUILD_SECONDS, env={**os.environ, "GOBIN": str(draft)})
            draft.rename(folder)
    return folder / "stripe-mock"


def _link_llama_cpp(python: Path) -> None:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise LookupError("llama-cpp-python is not installed")
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    link = packages / "llama_cpp"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(Path(spec.origin).parent)


if __name__ == "__main__":
    for each in (python, other_models, stripe_mock):
        sys.stdout.write(f"{each()}\n")
