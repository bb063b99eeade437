"""Where Sluice runs from: a checkout, in whose folder `make up` installs, or an installed package."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout, or the folder `site-packages`."""
CHECKOUT = (ROOT / "pyproject.toml").is_file()
COMMAND, UP, DEMO = (".venv/bin/sluice", "make up", "make demo") if CHECKOUT else ("sluice", "sluice up", "sluice demo")
PROGRAM = Path(sys.prefix) / "bin" / "sluice"
"""The command's own file, whatever folder a shell is in."""


def tools(env: Mapping[str, str] = os.environ) -> Path:
    """Where the store's binary is installed."""
    return ROOT / ".tools" if CHECKOUT else _of_the_user(env, "XDG_CACHE_HOME", ".cache")


def data(env: Mapping[str, str] = os.environ) -> Path:
    """The data directory that is used when none is named: one of the user's, because a command is run anywhere."""
    return Path(".sluice").absolute() if CHECKOUT else _of_the_user(env, "XDG_DATA_HOME", ".local/share")


def install(version: str) -> str:
    """The command that installs another version the way this one was."""
    if CHECKOUT:
        return f"git checkout v{version} && make setup"
    named = f"sluice-gateway=={version}"
    for mark, command in (
        ("uv-receipt.toml", "uv tool install --force"),
        ("pipx_metadata.json", "pipx install --force"),
    ):
        if (Path(sys.prefix) / mark).is_file():
            return f"{command} {named}"
    return f"{sys.executable} -m pip install {named}"


def _of_the_user(env: Mapping[str, str], variable: str, default: str) -> Path:
    """As the XDG base directory specification has it, which ignores relative paths."""
    named = Path(env.get(variable) or "")
    if named.is_absolute():
        return named / "sluice"
    try:
        home = Path.home()
    except RuntimeError:  # a user without a name, as in some containers
        home = Path.cwd()
    return home / default / "sluice"
