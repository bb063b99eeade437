"""Installs llama-cpp-python: a prebuilt wheel if there is one, otherwise compiled, with progress.

The project publishes CPU wheels on its own index; PyPI has only the source. GGML_NATIVE=OFF still uses AVX2, FMA and
F16C, and the result also runs on other machines.
"""

import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from infra.setup.console import ProgressLine, SetupError, say, tail

VERSION = "0.3.36"
REQUIREMENT = f"llama-cpp-python=={VERSION}"
WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl/cpu"
INDEX_TIMEOUT_SECONDS = 4
CMAKE_ARGS = "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF"
NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\]")
COMPILERS = ("c++", "g++", "clang++")
NO_COMPILER = """\
llama.cpp must be compiled, because there is no prebuilt wheel, but this machine has no C++ compiler. Install one:
        Debian, Ubuntu: apt-get install g++     macOS: xcode-select --install     Fedora: dnf install gcc-c++"""


def install(python: Path, log: Path) -> None:
    """Install into the environment of `python`. Errors: SetupError."""
    if _answers(python):
        return
    say(f"{REQUIREMENT}: looking for a prebuilt wheel")
    if _install_wheel(python):
        return
    if not _has_compiler():
        raise SetupError(NO_COMPILER)
    _compile(python, log)


def _answers(python: Path) -> bool:
    """Whether the wheel loads. One for another C library or processor installs but does not load."""
    check = f"import llama_cpp, sys; sys.exit(llama_cpp.__version__ != {VERSION!r})"
    return subprocess.run([python, "-c", check], capture_output=True).returncode == 0


def _install_wheel(python: Path) -> bool:
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", REQUIREMENT]
    if _index_answers():
        command += ["--extra-index-url", WHEEL_INDEX]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        return False
    if _answers(python):
        return True
    say("the prebuilt wheel does not run on this machine; compiling instead")
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "llama-cpp-python"], capture_output=True)
    return False


def _index_answers() -> bool:
    try:
        with urllib.request.urlopen(f"{WHEEL_INDEX}/llama-cpp-python/", timeout=INDEX_TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _has_compiler() -> bool:
    named = os.environ.get("CXX", "").split()
    return any(shutil.which(name) for name in (*named[:1], *COMPILERS))


def _compile(python: Path, log: Path) -> None:
    cores = os.cpu_count() or 1
    env = dict(os.environ)
    env.setdefault("CMAKE_ARGS", CMAKE_ARGS)
    env.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(cores))
    # pip caches the wheel, so another clone on this machine compiles nothing.
    command = [python, "-m", "pip", "install", "-v", "--no-deps", REQUIREMENT]
    progress, began = ProgressLine("compiling llama.cpp"), time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w+", errors="replace") as written:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            for line in process.stdout or ():
                written.write(line)
                if "Building wheel for llama" in line and "started" in line:  # otherwise pip uses its cache
                    say(f"compiling llama.cpp with {cores} jobs: about four minutes on two cores, once (log: {log})")
                if step := NINJA_STEP.search(line):
                    progress.show(int(step[1]), int(step[2]))
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        progress.end()
        written.seek(0)
        if code or not _answers(python):
            raise SetupError(
                f"llama.cpp could not be compiled; the whole log is {log}. Its end:\n{tail(written.read())}"
            )
    say(f"llama.cpp is built ({time.monotonic() - began:.0f} s)")
