"""Installs llama-cpp-python: compiled from the source whose hash stands in `llama.lock`, with progress.

It uses the instructions that this machine executes (`processor.py`, ADR 116). pip keeps the wheel it built, so another
clone on this machine compiles nothing. The project's own index has wheels, but no lock file can vouch for native code
that a second index may replace, so it is not asked.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

from functions.inference import processor
from infra.setup.console import ProgressLine, SetupError, say, tail

LOCK = Path(__file__).with_name("llama.lock")
VERSION = LOCK.read_text().split("==")[1].split()[0]
NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\]")
COMPILERS = ("c++", "g++", "clang++")
NO_COMPILER = """\
llama.cpp must be compiled, but this machine has no C++ compiler. Install one:
        Debian, Ubuntu: apt-get install g++     macOS: xcode-select --install     Fedora: dnf install gcc-c++"""


def install(python: Path, log: Path, instructions: Collection[str] | None) -> None:
    """Install into the environment of `python`, for those sets of instructions (None: llama.cpp's own choice of them,
    AVX2 on x86). Errors: SetupError."""
    libraries = _libraries(python)
    if libraries and _is_for(libraries, instructions):
        return
    if not _has_compiler():
        raise SetupError(NO_COMPILER)
    _compile(python, log, cmake_options(instructions))


def cmake_options(instructions: Collection[str] | None) -> list[str]:
    """For CMake; those of the variable CMAKE_ARGS come last, and so count."""
    chosen = [] if instructions is None else processor.SETS
    return [
        "-DLLAVA_BUILD=OFF",
        "-DGGML_NATIVE=OFF",  # it would ask for all that the processor announces
        *(f"-DGGML_{name}={'ON' if name in (instructions or ()) else 'OFF'}" for name in chosen),
        *shlex.split(os.environ.get("CMAKE_ARGS", "")),
    ]


def _libraries(python: Path) -> Path | None:
    """The folder of the wheel's libraries; None if they do not load. Those for another C library or processor install,
    but do not load."""
    check = f"import llama_cpp; print(llama_cpp.__path__[0]); exit(llama_cpp.__version__ != {VERSION!r})"
    done = subprocess.run([python, "-c", check], capture_output=True, text=True)
    return None if done.returncode else Path(done.stdout.strip()) / "lib"


def _is_for(libraries: Path, instructions: Collection[str] | None) -> bool:
    built_for = processor.built_for(libraries)
    return built_for is not None and (instructions is None or built_for == frozenset(instructions))


def _has_compiler() -> bool:
    named = os.environ.get("CXX", "").split()
    return any(shutil.which(name) for name in (*named[:1], *COMPILERS))


def _cache(python: Path, options: list[str]) -> dict[str, str]:
    """A place of its own in pip's cache, whose key of a built wheel leaves the options out. {} if pip keeps nothing."""
    found = subprocess.run([python, "-m", "pip", "cache", "dir"], capture_output=True, text=True)
    key = hashlib.sha256("\n".join([processor.HOOK.read_text(), *options]).encode()).hexdigest()[:12]
    return {} if found.returncode else {"PIP_CACHE_DIR": f"{found.stdout.strip()}/sluice-llama-{key}"}


def _compile(python: Path, log: Path, options: list[str]) -> None:
    cores = os.cpu_count() or 1
    hook = f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={processor.HOOK}"
    env = os.environ | _cache(python, options) | {"CMAKE_ARGS": shlex.join([hook, *options])}
    env.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(cores))
    command = [
        python,
        "-m",
        "pip",
        "install",
        "-v",
        "--force-reinstall",
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
                    say(f"compiling llama.cpp with {cores} jobs: about two minutes on two cores, once (log: {log})")
                if step := NINJA_STEP.search(line):
                    progress.show(int(step[1]), int(step[2]))
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        progress.end()
        written.seek(0)
        if code or not _libraries(python):
            raise SetupError(
                f"llama.cpp could not be compiled; the whole log is {log}. Its end:\n{tail(written.read())}"
            )
    say(f"llama.cpp is built ({time.monotonic() - began:.0f} s)")
