"""Amazon's own programs to run a function, each installed once into `.tools`.

- The runtime interface emulator: SAM's command carries its binary.
- `awslambdaric`, what Lambda's Python runs a handler with: from PyPI.
- The Lambda Web Adapter: a crate, built here (about a minute; nothing of it is Python's).
"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from infra.aws import bytecode
from tests.aws.locks import held
from tests.aws.tools.install import TOOLS, install

ADAPTER_VERSION = "0.9.1"  # the one of template.yaml's layer and of the inference image: a test holds them together
ADAPTER = TOOLS / f"lambda-web-adapter-{ADAPTER_VERSION}"
BUILD_SECONDS = 900
PYTHON = bytecode.interpreter() or sys.executable  # the functions'


def why_no_python() -> str | None:
    """Compiled packages are of one version of Python, so the functions' own is needed."""
    if bytecode.interpreter() is None:
        return f"no {bytecode.NAME}, on which the functions run: `uv python install` has it"
    return None


def emulator() -> Path:
    """Errors: subprocess.CalledProcessError."""
    install("sam")
    machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    (found,) = (TOOLS / "sam").glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}")
    found.chmod(0o755)
    return found


def runtime_client() -> Path:
    """→ the folder to put on a function's path. Errors: subprocess.CalledProcessError."""
    install("ric")
    (found,) = (TOOLS / "ric").glob("lib/python3*/site-packages")
    return found


def why_no_adapter() -> str | None:
    if not (ADAPTER / "bin" / "lambda-adapter").is_file() and shutil.which("cargo") is None:
        return "the Lambda Web Adapter is built by cargo, and there is none: install Rust (Debian: cargo)"
    return None


def adapter() -> Path:
    """Errors: subprocess.CalledProcessError, TimeoutExpired."""
    program = ADAPTER / "bin" / "lambda-adapter"
    with held(TOOLS / "lambda-web-adapter.lock"):
        if not program.is_file():
            draft = ADAPTER.with_name(ADAPTER.name + ".draft")
            shutil.rmtree(draft, ignore_errors=True)
            # Not optimised, because only its behaviour is tested, and it builds in a quarter of the time.
            words = ["cargo", "install", "lambda_web_adapter", "--version", ADAPTER_VERSION, "--locked", "--debug"]
            words += ["--quiet", "--root", str(draft), "--target-dir", str(draft / "target")]
            subprocess.run(words, check=True, timeout=BUILD_SECONDS)
            shutil.rmtree(draft / "target")
            draft.rename(ADAPTER)
    return program


if __name__ == "__main__":
    for each in (emulator, runtime_client, adapter):
        sys.stdout.write(f"{each()}\n")
