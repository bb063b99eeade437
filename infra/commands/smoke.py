"""`sluice smoke URL`."""

import sys

import click

from infra.commands.ending import read_password


@click.command("smoke", help="Test a running deployment from the outside.")
@click.argument("url")
@click.option("--email", default="", help="Log in as this person, and test chat completions with a new API token.")
@click.option("--password-stdin", is_flag=True, help="Read that person's password from standard input.")
def command(url: str, email: str, password_stdin: bool) -> None:
    from infra.aws.smoke import Smoke, SmokeFailed
    from infra.demo.client import Client

    password = read_password(password_stdin, "Password") if email else ""
    try:
        Smoke(Client(url), lambda text: click.echo(f"  {text}")).run(email, password)
    except SmokeFailed as exc:
        click.echo(f"sluice smoke: {exc}", err=True)
        sys.exit(1)
    click.echo("All is as promised.")
