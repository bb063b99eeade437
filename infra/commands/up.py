"""`sluice up`."""

import click

from infra.commands.ending import end
from infra.local.errors import LaunchError


@click.command("up", help="Start everything on this machine and stay until Ctrl-C.")
def command() -> None:
    from infra.local.launcher import Launcher
    from infra.upgrading import Upgrade

    try:
        Launcher(Upgrade).run()
    except LaunchError as exc:
        end(1, str(exc))
