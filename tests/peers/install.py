"""`python -m tests.peers.install`: other model servers into `.tools/peers`, by their lock file, once.

Not among the development dependencies, because the product needs none of them. llama-cpp-python is the one of `.venv`,
because it compiles for minutes.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path

from tests.aws.tools.install import install

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
    sys.stdout.write(f"{python()}\n{other_models()}\n")
