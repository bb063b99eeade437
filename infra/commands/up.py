"""`sluice up`."""

import sys

import click

from infra.local.errors import LaunchError


@click.command("up", help="Start everything on this machine and stay until Ctrl-C.")
def command() -> None:
    from infra.local.launcher import Launcher

    try:
        Launcher().run()
    except LaunchError as exc:
        click.echo(f"sluice: {exc}", err=True)
        sys.exit(1)
