"""`sluice top`."""

import sys
import time
from contextlib import suppress

import click

from infra.commands.ending import end

NOT_UP = 3


@click.command("top")
@click.option("--once", is_flag=True, help="Print what one interval brought, and end.")
@click.option("--every", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Seconds.")
def command(once: bool, every: float) -> None:
    """Requests, model tokens, queue, slots, memory and spend of the running system, until q.

    Without a terminal it does what --once does. Exit status: 3 not up.
    """
    from infra.watching import top
    from infra.watching.reading import NotUp, read

    try:
        if not once and sys.stdin.isatty() and sys.stdout.isatty():
            with suppress(KeyboardInterrupt):
                top.watch(read, time.time, every)
            return
        before = read()
        time.sleep(every)
        for line in top.frame(before, read(), time.time()):
            click.echo(line)
    except NotUp as exc:
        end(NOT_UP, str(exc))
