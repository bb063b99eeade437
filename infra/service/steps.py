"""Puts the service on this machine and takes it away. Each step says what it did, and repeating it is harmless."""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.local.config import as_service_user
from infra.place import PROGRAM, tools
from infra.service import reach
from infra.service.unit import CACHE, DATA, ENVIRONMENT, ENVIRONMENT_TEXT, FILE, NAME, SETTINGS, USER, is_ours, text
from sluice.adapters.whole_files import write_whole

BOOTED = Path("/run/systemd/system")
"""sd_booted(3)."""
PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "NRestarts",
    "ActiveEnterTimestamp",
    "StatusText",
)


class ServiceError(Exception):
    """What is in the way, as sentences for the terminal."""


def require_systemd(command: str) -> None:
    """Errors: ServiceError unless this is root on a machine where systemd runs."""
    if not BOOTED.is_dir():
        raise ServiceError(
            "systemd does not run on this machine. `sluice service install --print` writes the unit for another one."
        )
    if os.geteuid() != 0:
        raise ServiceError(f"this needs root: sudo {PROGRAM} service {command}")


def install() -> Iterator[str]:
    """Errors: ServiceError. Everything is checked before the first step."""
    wanted = text(PROGRAM)
    found = FILE.read_text() if FILE.exists() else ""
    if found and not is_ours(found):
        raise ServiceError(
            f"{FILE} was changed by hand, so it stays. Put your changes into a drop-in (systemctl edit {USER}), delete "
            "the file, and repeat this."
        )
    if problem := reach.why_not(reach.used()):
        raise ServiceError(f"{problem}\n{reach.INSTEAD}")
    os.umask(0o022)
    yield _store()
    yield _user()
    yield _environment()
    if found == wanted:
        yield f"{FILE} is up to date"
    else:
        write_whole(FILE, wanted.encode(), 0o644)
        yield f"wrote {FILE}"
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", NAME)
    yield "it starts with the machine"
    if found == wanted and shown()["ActiveState"] == "active":
        yield f"it runs. After an update of Sluice: systemctl restart {USER}"
        return
    yield "starting it, and waiting until it answers"
    try:
        _systemctl("restart", NAME)
    except ServiceError as exc:
        raise ServiceError(f"{exc}\n{_last_lines()}") from exc
    yield f"{shown()['StatusText']}. The first admin: {as_service_user(USER, DATA)} admin create you@example.org"


def uninstall() -> Iterator[str]:
    """Errors: ServiceError."""
    if not FILE.exists():
        raise ServiceError("the service is not installed.")
    _systemctl("disable", "--now", "--quiet", NAME)
    yield "stopped it; it does not start with the machine any more"
    if is_ours(FILE.read_text()):
        FILE.unlink()
        yield f"deleted {FILE}"
    else:
        kept = FILE.rename(FILE.with_suffix(".service.kept"))
        yield f"the unit was changed by hand, so it is kept as {kept}"
    _systemctl("daemon-reload")
    yield f"everyone's data stay in {DATA}, the settings in {SETTINGS} and {FILE}.d, the store's program in {CACHE}"
    yield f"to delete them for ever: rm -r {DATA} {SETTINGS} {CACHE} && userdel {USER}"


def shown() -> dict[str, str]:
    """systemd's own words about the unit. Errors: ServiceError."""
    asked = _systemctl("show", NAME, f"--property={','.join(PROPERTIES)}")
    return dict(line.split("=", 1) for line in asked.splitlines() if "=" in line)


def _store() -> str:
    """By root, because the service may neither run npm nor write programs."""
    from infra.setup import console, store

    try:
        found = store.install(tools({"XDG_CACHE_HOME": str(CACHE.parent)}), Path(sys.executable))
    except console.SetupError as exc:
        raise ServiceError(str(exc)) from exc
    if problem := reach.why_not([found]):
        raise ServiceError(problem)
    return f"the store's program is {found}"


def _user() -> str:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        _run("systemd-sysusers", "--inline", f'u {USER} - "Sluice" {DATA}')
        return f"made the user {USER}"
    return f"the user {USER} is there"


def _environment() -> str:
    SETTINGS.mkdir(exist_ok=True)
    if ENVIRONMENT.exists():
        return f"{ENVIRONMENT} stays as it is"
    with open(os.open(ENVIRONMENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # for passwords
        file.write(ENVIRONMENT_TEXT)
    return (
        f"wrote {ENVIRONMENT}, for the port, the address, the mail server; the owner's settings: {SETTINGS}/sluice.toml"
    )


def _last_lines() -> str:
    return _run("journalctl", "--unit", NAME, "--lines=20", "--output=cat", "--no-pager")


def _systemctl(*words: str) -> str:
    return _run("systemctl", *words)


def _run(*words: str) -> str:
    """What the program printed. Errors: ServiceError."""
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as exc:
        raise ServiceError(f"{words[0]} cannot be run: {exc.strerror}.") from exc
    if done.returncode:
        raise ServiceError(f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
