"""`sluice config check|show|schema`: the owner's settings, `sluice.toml`."""

import json
import os
from pathlib import Path

import click

from infra.commands.ending import end

FILE = "sluice.toml"
WRONG, NO_FILE = 1, 2

command = click.Group("config", help="Check, show and change the owner's settings (sluice.toml).")
path_argument = click.argument("path", metavar="[FILE]", required=False)


@command.command("check")
@path_argument
def check(path: str | None) -> None:
    """Check FILE (default: SLUICE_CONFIG, or ./sluice.toml) without changing anything.

    Exit status: 0 it is right, 1 it is wrong, 2 it cannot be read.
    """
    from sluice.domain.settings.checking import WrongSettings
    from sluice.domain.settings.toml import parse

    file = path_of(path)
    try:
        found = parse(read(file))
    except WrongSettings as exc:
        end(WRONG, f"{file} is wrong, nothing was changed:\n{exc}")
    counts = (f"{len(getattr(found, name))} {name}" for name in ("upstreams", "models", "plans"))
    click.echo(f"{file} is right: " + ", ".join(counts))


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of sluice.toml, for editors."""
    from sluice.domain.settings.owners import OwnersSettings

    click.echo(json.dumps(OwnersSettings.model_json_schema(mode="validation"), indent=2))


def path_of(given: str | None) -> Path:
    return Path(given or os.environ.get("SLUICE_CONFIG") or FILE)


def read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        end(WRONG, f"{file} is not UTF-8. Save it with that encoding.")
    except OSError as exc:
        end(NO_FILE, f"{file} cannot be read: {exc.strerror}.")
