"""`sluice status`."""

import json
import sys
import time

import click

from infra.commands.ending import end

NOT_WELL, NOT_UP = 1, 3


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool = False) -> None:
    """How the running system is, on one screen. Exit status: 0 well, 1 something needs attention, 3 not up."""
    from infra.watching.reading import NotUp, read
    from infra.watching.screen import findings

    try:
        found = list(findings(read(), time.time()))
    except NotUp as exc:
        if as_json:
            click.echo(json.dumps({"is_up": False, "is_well": False, "detail": str(exc)}))
            sys.exit(NOT_UP)
        end(NOT_UP, str(exc))
    is_well = all(one.is_well for one in found)
    if as_json:
        told = {one.name: {"is_well": one.is_well, "is": one.data} for one in found}
        click.echo(json.dumps({"is_up": True, "is_well": is_well} | told, indent=2))
    else:
        for one in found:
            mark = click.style("ok ", fg="green") if one.is_well else click.style("BAD", fg="red")
            click.echo(f"{mark}  {one.name:<11}  {one.said}")
    sys.exit(0 if is_well else NOT_WELL)
