"""Installs llama-cpp-python: compiled from the source whose hash stands in `llama.lock`, with progress.

pip keeps the wheel it built, so another clone on this machine compiles nothing. The project's own index has wheels, but
no lock file can vouch for native code that a second index may replace, so it is not asked. GGML_NATIVE=OFF still uses
AVX2, FMA and F16C, and the result also runs on other machines.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from infra.setup.console import ProgressLine, SetupError, say, tail

LOCK = Path(__file__).with_name("llama.lock")
VERSION = LOCK.read_text().split("==")[1].split()[0]
CMAKE_ARGS = "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF"
NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\]")
COMPILERS = ("c++", "g++", "clang++")
NO_COMPILER = """\
llama.cpp must be compiled, but this machine has no C++ compiler. Install one:
        Debian, Ubuntu: apt-get install g++     macOS: xcode-select --install     Fedora: dnf install gcc-c++"""


def install(python: Path, log: Path) -> None:
    """Install into the environment of `python`. Errors: SetupError."""
    if _answers(python):
        return
    if not _has_compiler():
        raise SetupError(NO_COMPILER)
    _compile(python, log)


def _answers(python: Path) -> bool:
    """Whether the wheel loads. One for another C library or processor installs but does not load."""
    check = f"import llama_cpp, sys; sys.exit(llama_cpp.__version__ != {VERSION!r})"
    return subprocess.run([python, "-c", check], capture_output=True).returncode == 0


def _has_compiler() -> bool:
    named = os.environ.get("CXX", "").split()
    return any(shutil.which(name) for name in (*named[:1], *COMPILERS))


def _compile(python: Path, log: Path) -> None:
    cores = os.cpu_count() or 1
    env = dict(os.environ)
    env.setdefault("CMAKE_ARGS", CMAKE_ARGS)
    env.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(cores))
    command = [
        python,
        "-m",
        "pip",
        "install",
        "-v",
        "--no-deps",
        "--no-build-isolation",
        "--require-hashes",
        "-r",
        LOCK,
    ]
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
