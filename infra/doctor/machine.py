"""Checks Python, compiler, npm, llama.cpp, the store's binary, the data directory and the disk."""

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from functions.inference import processor
from infra.doctor.finding import Finding, note, ok, problem
from infra.local.config import data_dir
from infra.local.programs import OPEN, why_open
from infra.place import CHECKOUT, UP, tools
from infra.setup import llama, store

LEAST_FREE_BYTES = 500 * 1024 * 1024
MIB = 1 << 20


def python() -> Iterator[Finding]:
    """No check of the version, because `infra/setup.sh` refuses an old Python."""
    yield ok(f"Python {platform.python_version()}")


def llama_cpp() -> Iterator[Finding]:
    """The compiler is needed only to build llama.cpp."""
    if importlib.util.find_spec("llama_cpp") is not None:
        yield ok(f"llama-cpp-python is installed ({llama.VERSION} is the version this was tested with)")
        if refusal := processor.refusal():
            yield problem(refusal)
        return
    if any(shutil.which(name) for name in llama.COMPILERS):
        yield problem(
            "llama-cpp-python is not installed yet.",
            "`make up` compiles it, which takes a few minutes once."
            if CHECKOUT
            else "The installation broke off: repeat it (`uv tool install --reinstall` and the wheel).",
        )
    else:
        yield problem(
            "llama-cpp-python is not installed, and there is no C++ compiler.", llama.NO_COMPILER.split("\n")[1]
        )


def store_binary() -> Iterator[Finding]:
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_DYNAMODB"):
        return  # an external store, which settings() checks
    path = store.binary(tools())
    if not path.is_file():
        npm = "with npm" if shutil.which("npm") else "with an npm from PyPI, because there is none here"
        yield problem(f"The store's binary is missing ({path}).", f"`{UP}` installs it ({npm}).")
        return
    again = f"rm -r {path.parent} && {UP}"
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as exc:
        yield problem(f"The store's binary does not run: {exc}", again)
        return
    if done.returncode or store.VERSION not in done.stdout:
        yield problem(f"The store's binary is not version {store.VERSION}: {done.stdout.strip()}", again)
    else:
        yield ok(f"The store: {done.stdout.strip()}")
        yield from _protected()


def _protected() -> Iterator[Finding]:
    reason = why_open()
    if reason:
        text = OPEN.format(reason=reason)
        yield note(f"{text[0].upper()}{text[1:]}.", "docs/security.md says what that means.")
    else:
        yield ok("The store is closed to other users of this machine")


def disk() -> Iterator[Finding]:
    folder = data_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE_BYTES:
        yield problem(f"Only {free // MIB} MiB are free for {folder}.", "A full disk stops every write of the store.")
    else:
        yield ok(f"{free // MIB:,} MiB are free for {folder}")


def data_directory() -> Iterator[Finding]:
    folder = data_dir()
    if not folder.exists():
        parent = next(path for path in folder.parents if path.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            yield problem(f"The data directory {folder} cannot be created: {parent} is not writable.")
        else:
            yield ok(f"The data directory {folder} will be created at the first start")
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield problem(f"The data directory {folder} is not a folder that this user may write to.")
        return
    yield from _private(folder)
    letters = folder / "relay" / "dead-letters.jsonl"
    if letters.exists() and letters.stat().st_size:
        count = len(letters.read_text(errors="replace").splitlines())
        yield note(f"{count} events failed after many tries.", f"The file lists each with its reason: {letters}")


def _private(folder: Path) -> Iterator[Finding]:
    open_files = [path for path in (folder, *(folder / "keys").glob("*.[pk]e*")) if path.stat().st_mode & 0o077]
    if open_files:
        names = ", ".join(str(path) for path in open_files)
        yield problem(f"Other users of this machine may look into {names}.", f"chmod -R go-rwx {folder}")
    else:
        yield ok(f"The data directory {folder} is private to this user")
