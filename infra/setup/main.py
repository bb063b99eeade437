"""`infra/setup.sh [dev]`: install everything for `make up` (with `dev` also for the tests), once per lock file.

The stamp in `.venv` is a hash of the lock files and of this folder, and names the instructions that llama.cpp was
compiled for. If it matches, the setup does nothing.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from functions.inference import processor
from infra.place import ROOT, tools

ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
TOOLS = tools()
SETUP_LOCK = Path(__file__).with_name("tools.lock")
LOCKS = {"run": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}


def main() -> None:
    wanted = "dev" if "dev" in sys.argv[1:] else "run"
    if _is_done(wanted):
        return
    from infra.setup.console import SetupError

    try:
        with _one_at_a_time():
            if not _is_done(wanted):
                _set_up(wanted)
    except SetupError as exc:
        sys.exit(f"sluice: {exc}")
    except KeyboardInterrupt:
        sys.exit("\nsluice: stopped; the next `make up` continues from here")
    except OSError as exc:
        sys.exit(f"sluice: setting up failed: {exc}")


def _is_done(wanted: str) -> bool:
    return _stamp(wanted).is_file() and _stamp(wanted).read_text() == _fingerprint(wanted)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """`make demo` may be called in a second terminal while the first `make up` still installs."""
    from infra.setup.console import say

    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / "setup.lock", "w") as lock:  # the kernel lets it go when the process ends, however it ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another `make` is installing into this folder; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _set_up(wanted: str) -> None:
    from infra.setup import llama, store
    from infra.setup.console import run, say

    began = time.monotonic()
    _make_environment()
    uv = ENVIRONMENT / "bin" / "uv"
    say(f"installing the packages of {LOCKS[wanted].name}")
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", PYTHON]
    # Compiled now on all cores; otherwise the first start would compile one module after the other.
    run(
        [*install, "--compile-bytecode", "--require-hashes", "--requirements", LOCKS[wanted]], "installing the packages"
    )
    llama.install(PYTHON, TOOLS / "llama-build.log", _instructions())
    run([*install, "--no-deps", "--editable", ROOT], "installing the project itself")
    store.install(TOOLS, PYTHON)
    _stamp(wanted).write_text(_fingerprint(wanted))
    if wanted == "dev":  # the dev lock file includes the other one
        _stamp("run").write_text(_fingerprint("run"))
    say(f"everything is installed ({time.monotonic() - began:.0f} s)")


def _make_environment() -> None:
    from infra.setup.console import SetupError, run, say

    if subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode if PYTHON.exists() else True:
        say(f"making .venv with Python {sys.version.split()[0]}")
        try:
            # Symlinks, as `python -m venv` makes, because a copied interpreter may not find its libraries.
            venv.EnvBuilder(with_pip=True, clear=ENVIRONMENT.exists(), symlinks=True).create(ENVIRONMENT)
        except (subprocess.CalledProcessError, SystemExit) as exc:
            raise SetupError(
                "Python could not create an environment with pip. Debian, Ubuntu: apt-get install python3-venv"
            ) from exc
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--requirement", SETUP_LOCK], "installing uv, CMake and Ninja")


def _stamp(wanted: str) -> Path:
    return ENVIRONMENT / f"sluice-{wanted}.stamp"


def _fingerprint(wanted: str) -> str:
    """The hash includes the checkout's path, because the `.venv` of a moved checkout points to the old place."""
    digest = hashlib.sha256(os.fsencode(ROOT))
    own = (file for file in sorted(Path(__file__).parent.iterdir()) if file.is_file())
    for file in (LOCKS[wanted], ROOT / "pyproject.toml", processor.HOOK, *own):
        digest.update(file.read_bytes())
    names = _instructions()
    return " ".join([digest.hexdigest(), *(sorted(names) if names is not None else ["unknown"])])


@cache
def _instructions() -> frozenset[str] | None:
    """A `.venv` that was copied to another machine is made anew if this one executes others."""
    return processor.usable()
