"""`python -m infra.aws.bytecode FOLDER`: compiles every module of a build; without FOLDER prints the functions' Python.

`sam build` packages sources only, and Lambda's code folders are read-only. So each new environment would compile every
import: two thirds of a cold start's CPU (docs/performance.md). The bytecode is not checked against file times, because
zip files store them inexactly. It must be compiled by the functions' version of Python. What modules themselves compile
when they are imported is recorded beside it (`compiling.py`).
"""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

RUNTIME = (3, 13)  # of template.yaml's functions; a test compares them
NAME = f"python{RUNTIME[0]}.{RUNTIME[1]}"
ASK_SECONDS = 20
RECORDING = Path(__file__).with_name("compiling.py")
LAYER = Path("CoreLayer", "python")


@cache
def interpreter() -> str | None:
    """A Python of the functions' version, not a virtual environment's: this process's, the path's or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [getattr(sys, "_base_executable", sys.executable), shutil.which(NAME)]
    found += sorted(str(one) for one in pyenv.glob(f"{RUNTIME[0]}.{RUNTIME[1]}.*/bin/{NAME}"))
    return next((one for one in found if one and _is_runtime(one)), None)


def _is_runtime(python: str) -> bool:
    """False also for a version manager's shim that only prints an error."""
    asked = [python, "-I", "-S", "-c", f"import sys; sys.exit(sys.version_info[:2] != {RUNTIME})"]
    try:
        return subprocess.run(asked, capture_output=True, timeout=ASK_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def compile_build(folder: Path) -> bool:
    """Compile every Python file in place, and what the layer's imports compile while they run. Returns whether that
    was recorded, too. Raises RuntimeError without such a Python, or for a file that fails."""
    python = interpreter()
    if python is None:
        raise RuntimeError(f"{NAME} is needed, and this machine has none")
    done = subprocess.run([python, "-I", __file__, folder], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return not (folder / LAYER / "sluice").is_dir() or _record(python, folder / LAYER)


def _record(python: str, layer: Path) -> bool:
    """Packages of another processor cannot be imported, so the same ones for this processor are installed for it."""
    if _ran([python, "-I", "-B", RECORDING, layer]):
        return True
    with tempfile.TemporaryDirectory() as packages:
        install = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", packages]
        wanted = Path(__file__).parents[2] / "layers" / "core" / "requirements.txt"
        return _ran([*install, "--requirement", wanted]) and _ran([python, "-I", "-B", RECORDING, layer, packages])


def _ran(words: list[str | Path]) -> bool:
    return subprocess.run(words, capture_output=True).returncode == 0


def _compile(folder: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, maxlevels=20, quiet=1, force=True, invalidation_mode=mode):
        sys.exit(f"not every file in {folder} compiles; see the errors above")


if __name__ == "__main__":
    if not sys.argv[1:]:
        print(interpreter() or sys.exit(f"{NAME} was not found: uv python install {RUNTIME[0]}.{RUNTIME[1]}"))
    elif sys.version_info[:2] == RUNTIME:
        _compile(Path(sys.argv[1]))
    else:
        compile_build(Path(sys.argv[1]))
