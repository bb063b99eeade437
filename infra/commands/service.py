"""`sluice service install`, `status`, `logs`, `uninstall`."""

import os
from collections.abc import Callable, Iterator

import click

from infra.commands.ending import end
from infra.local.programs import EVERY

REFUSED, NOT_UP = 1, 3

command = click.Group("service", help="Run it as a service of systemd: started with the machine, restarted, confined.")


@command.command("install")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and change nothing.")
def install_command(only_print: bool) -> None:
    """Make the user, the unit and its environment, and start it. Repeating it is harmless.

    Exit status: 1 refused, or it does not start.
    """
    from infra.place import PROGRAM
    from infra.service import steps, unit

    if only_print:
        try:
            click.echo(unit.text(PROGRAM), nl=False)
        except ValueError as exc:
            end(REFUSED, str(exc))
        return
    _told("install", steps.install)


@command.command("uninstall")
def uninstall_command() -> None:
    """Stop it and take the unit away. The data, the settings and the user stay."""
    from infra.service import steps

    _told("uninstall", steps.uninstall)


@command.command("status")
@click.pass_context
def status_command(ctx: click.Context) -> None:
    """What systemd says of it, and `sluice status` of its data. Exit status: 0 well, 1 not quite, 3 not up."""
    from infra.commands import status
    from infra.service import steps, unit

    try:
        found = steps.shown()
    except steps.ServiceError as exc:
        end(NOT_UP, str(exc))
    if found["LoadState"] != "loaded":
        end(NOT_UP, "the service is not installed: sluice service install")
    click.echo(
        f"service    {found['ActiveState']} ({found['SubState']}) since {found['ActiveEnterTimestamp'] or 'never'}, "
        f"{found['UnitFileState']}, {found['NRestarts']} restarts"
    )
    os.environ["SLUICE_DATA_DIR"] = str(unit.DATA)
    ctx.invoke(status.command)


@command.command("logs")
@click.argument("process", type=click.Choice(EVERY), required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--lines", "-n", type=click.IntRange(0), default=100, show_default=True)
def logs_command(process: str | None, follow: bool, lines: int) -> None:
    """The service's journal: starts, stops, what ended unexpectedly. With PROCESS, that process's own log."""
    from infra.service import unit

    words = ["journalctl", "--unit", unit.NAME, f"--lines={lines}", *(["--follow"] if follow else ["--no-pager"])]
    if process:
        words = ["tail", f"--lines={lines}", *(["-F"] if follow else []), str(unit.DATA / "logs" / f"{process}.log")]
    try:
        os.execvp(words[0], words)
    except OSError as exc:
        end(REFUSED, f"{words[0]} cannot be run: {exc.strerror}.")


def _told(name: str, steps_of: Callable[[], Iterator[str]]) -> None:
    from infra.service.steps import ServiceError, require_systemd

    try:
        require_systemd(name)
        for line in steps_of():
            click.echo(f"sluice: {line}")
    except (ServiceError, OSError, ValueError) as exc:
        end(REFUSED, str(exc))
