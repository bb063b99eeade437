"""`sluice config check|show|apply|edit|schema`: the owner's settings, `sluice.toml`."""

import json
from typing import Any

import click

from infra.commands.ending import end
from infra.commands.operator import BY_COMMAND, REFUSED, as_json, now_ms, store

command = click.Group("config", help="Check, show and change the owner's settings (sluice.toml).")
path_argument = click.argument("path", metavar="[FILE]", required=False)


@command.command("check")
@path_argument
def check(path: str | None) -> None:
    """Check FILE (default: SLUICE_CONFIG, or ./sluice.toml) without changing anything.

    Exit status: 0 it is right, 1 it is wrong or cannot be read.
    """
    file, found, _ = _file(path)
    counts = (f"{len(getattr(found, name))} {name}" for name in ("upstreams", "models", "plans"))
    click.echo(f"{file} is right: " + ", ".join(counts))


@command.command("apply")
@path_argument
@click.option("--force", is_flag=True, help="Also where an admin has edited the settings since.")
def apply(path: str | None, force: bool) -> None:
    """Put FILE (default: SLUICE_CONFIG, or ./sluice.toml) in force, and show what it changes.

    Exit status: 0 it is in force, 1 refused, 2 the store does not answer.
    """
    from infra.local import sluice_toml

    file, wanted, applied = _file(path)
    with store():
        try:
            for line in sluice_toml.apply(file, wanted, applied, force=force, again=True):
                click.echo(line)
        except sluice_toml.NotApplied as exc:
            end(REFUSED, str(exc))


@command.command("show")
@as_json
def show(as_json: bool) -> None:
    """Show the settings in force, as a file."""
    from sluice.domain.settings.toml import text_of
    from sluice.wiring.settings import owners_terms

    with store():
        found = owners_terms().read()
    if as_json:
        click.echo(json.dumps({"version": found.version} | found.or_empty().model_dump(), indent=2, ensure_ascii=False))
        return
    click.echo(f"# version {found.version}" + (", nothing is set" if found.settings is None else ""))
    if found.problem:
        click.echo(f"{found.problem}\nVersion {found.good_version} is in force.", err=True)
    click.echo(text_of(found.or_empty()), nl=False)


@command.command("edit")
def edit() -> None:
    """Change the settings in force with $EDITOR. A file that was applied before is not changed."""
    from sluice.domain.settings.toml import text_of
    from sluice.wiring.settings import owners_terms

    with store():
        found = owners_terms().read()
        text = text_of(found.or_empty())
        wanted = _edited(text)
        if wanted is None:
            click.echo("nothing was changed")
            return
        after = owners_terms().change(BY_COMMAND, found.version, wanted, now_ms())
    click.echo(f"version {after.version} of the settings, in force everywhere within 10 seconds")


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of sluice.toml, for editors."""
    from sluice.domain.settings.owners import OwnersSettings

    click.echo(json.dumps(OwnersSettings.model_json_schema(mode="validation"), indent=2))


def _file(path: str | None) -> Any:
    """The file, its settings, and its hash."""
    from infra.local import sluice_toml

    file = sluice_toml.path_of(path)
    try:
        return file, *sluice_toml.read(file)
    except sluice_toml.NotApplied as exc:
        end(REFUSED, str(exc))


def _edited(text: str) -> Any:
    """The settings as edited until they are right, or None if nothing was changed."""
    from sluice.domain.settings.checking import WrongSettings
    from sluice.domain.settings.toml import parse

    before = text
    while True:
        now = click.edit(text, extension=".toml", require_save=False)
        if now is None or now.strip() == before.strip():
            return None
        try:
            return parse(now)
        except WrongSettings as exc:
            click.echo(f"the settings are wrong, nothing was changed:\n{exc}", err=True)
            if not click.confirm("Edit again?", default=True, err=True):
                return None
        text = now
