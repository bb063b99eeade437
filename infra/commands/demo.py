"""`sluice demo`."""

import sys

import click


@click.command("demo", help="Walk through the main functions of the running system, explained step by step.")
@click.option("--url", default=None, help="Its address. [default: this machine, port $PORT or 8080]")
def command(url: str | None) -> None:
    from infra.demo.client import Client, DemoError
    from infra.demo.walk import Walk
    from infra.local import config
    from infra.local.errors import LaunchError

    try:
        Walk(Client(url or config.read().url), click.echo, lambda part: click.echo(part, nl=False)).run()
    except (DemoError, LaunchError) as exc:
        click.echo(f"\nsluice demo: {exc}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
