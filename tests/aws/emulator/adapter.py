"""The AWS Lambda Web Adapter, built from its crate into `.tools`, once."""

import shutil
import subprocess
from pathlib import Path

from tests.aws.locks import held

VERSION = "0.9.1"  # of the layer that the template names
TOOLS = Path(__file__).parents[3] / ".tools"
BUILD_SECONDS = 900
# `layer/bootstrap` of the crate: what AWS_LAMBDA_EXEC_WRAPPER names, started by Lambda with the function's own command.
EXEC_WRAPPER = '#!/bin/bash\nexec -- "${LAMBDA_TASK_ROOT}/${_HANDLER}"\n'


def is_buildable() -> bool:
    return _program().is_file() or shutil.which("cargo") is not None


def adapter() -> Path:
    """→ the program. Errors: subprocess.CalledProcessError, FileNotFoundError (no cargo)."""
    program = _program()
    with held(TOOLS / "lambda-adapter.lock"):
        if not program.is_file():
            words = ["cargo", "install", "--quiet", "--locked", "--root", program.parents[1], "--version", VERSION]
            subprocess.run([*words, "lambda_web_adapter"], check=True, timeout=BUILD_SECONDS)
    return program


def _program() -> Path:
    return TOOLS / f"lambda-adapter-{VERSION}" / "bin" / "lambda-adapter"
