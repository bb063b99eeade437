"""`sluice.toml` of this machine, and applying it to a store. Without the file a start imports nothing more."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.domain.settings.owners import OwnersSettings
    from sluice.domain.settings.versions import InForce

FILE = "sluice.toml"
NAMED_BY_UPSTREAMS = ("SLUICE_MODEL", "SLUICE_MODELS", "SLUICE_INFERENCE_URL")


class NotApplied(Exception):
    """The message says why, and what to do."""


def path_of(given: str | None = None, env: Mapping[str, str] = os.environ) -> Path:
    return Path(given or env.get("SLUICE_CONFIG") or FILE)


def present(env: Mapping[str, str] = os.environ) -> Path | None:
    """The file that a start applies: the one that is named, or the default if it is there."""
    return path_of(env=env) if env.get("SLUICE_CONFIG") or Path(FILE).exists() else None


def read(file: Path) -> tuple[OwnersSettings, str]:
    """The settings of a file and the hash of its text. Errors: NotApplied."""
    from sluice.domain.settings.checking import WrongSettings
    from sluice.domain.settings.toml import parse

    try:
        text = file.read_text("utf-8")
        return parse(text), hashlib.sha256(text.encode()).hexdigest()[:16]
    except UnicodeDecodeError as exc:
        raise NotApplied(f"{file} is not UTF-8. Save it with that encoding.") from exc
    except OSError as exc:
        raise NotApplied(f"{file} cannot be read: {exc.strerror}.") from exc
    except WrongSettings as exc:
        raise NotApplied(f"{file} is wrong, nothing was changed:\n{exc}") from exc


def engine_variables(file: Path, wanted: OwnersSettings, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The bundled engine's models, as variables; empty if the file names none. Errors: NotApplied, if the environment
    names models or a server, too."""
    if not wanted.upstreams:
        return {}
    if given := [name for name in NAMED_BY_UPSTREAMS if env.get(name)]:
        raise NotApplied(
            f"{file} names upstreams, and {' and '.join(given)} is set as well, which contradicts it. Unset it, and "
            'name the model in the file: under the upstream of kind = "engine" in models = ["…"], or as an upstream of '
            'kind = "openai" with its url.'
        )
    engines = [one for one in wanted.upstreams if one.kind == "engine"]
    models = dict.fromkeys(name for one in engines for name in one.models)
    pinned = dict.fromkeys(name for one in engines for name in one.pinned)
    return {"SLUICE_MODELS": ",".join(models), "SLUICE_INFERENCE_PINNED": ",".join(pinned)} if models else {}


def apply(file: Path, wanted: OwnersSettings, applied: str, *, force: bool, again: bool) -> Iterator[str]:
    """Make the file's settings the next version, unless they are in force. Yields what was done, line by line.

    `force`: also where an admin has edited since a file was applied. `again`: also if this file was applied before.
    Errors: NotApplied, StoreUnavailable, Conflict, ValidationFailed.
    """
    from sluice.domain.accounts.audit import OPERATOR
    from sluice.domain.settings.versions import differences
    from sluice.services.operations.admin import Actor
    from sluice.wiring.settings import owners_terms

    known = owners_terms().read()
    changed = [f"  {name}: {was} → {now}" for name, (was, now) in differences(known.or_empty(), wanted).items()]
    if known.applied == applied and not again:
        return
    if known.edited and changed and not force:
        raise NotApplied(_edited(file, known, changed))
    after = owners_terms().change(Actor(OPERATOR), known.version, wanted, time.time_ns() // 1_000_000, applied=applied)
    if after.version == known.version:
        yield f"{file} is in force already, as version {known.version}"
        return
    yield f"{file} is version {after.version} of the settings, in force everywhere within 10 seconds"
    yield from changed


def _edited(file: Path, known: InForce, changed: list[str]) -> str:
    return "\n".join(
        (
            f"{file} was not applied: the settings were edited since a file was applied (version {known.version}).",
            "It would change:",
            *changed,
            f"Apply it all the same with: sluice config apply {file} --force",
        )
    )
