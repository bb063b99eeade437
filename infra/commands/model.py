"""`sluice model list`, `sluice model pull NAME`."""

import click

from infra.local.config import data_dir
from infra.models import ListedModel, PullError, list_models, pull

MIB = 1 << 20


command = click.Group("model", help="List the models that can be served, and download them.")


@command.command("list", help="The models of the catalogue, and which are on this machine.")
def list_command() -> None:
    for model in list_models(data_dir() / "models"):
        click.echo(_line(model))
    click.echo("\nServe one with SLUICE_MODEL=NAME make up; a path to a .gguf file works as well.")


def _line(model: ListedModel) -> str:
    size = f"{model.size_bytes / MIB:,.0f} MiB" if model.size_bytes else "size unknown"
    return f"{model.name:32} {model.state:11} {size:>13}  {model.license:12} {model.description}"


@command.command("pull", help="Download a model, or resume an interrupted download.")
@click.argument("name")
def pull_command(name: str) -> None:
    try:
        path = pull(name, data_dir() / "models")
    except PullError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        raise click.ClickException("stopped; run the same command to resume") from None
    click.echo(f"{name} is at {path}\nServe it with: SLUICE_MODEL={name} make up")
