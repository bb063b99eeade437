"""`sluice smoke URL`."""

import sys

import click


@click.command("smoke", help="Ask a running deployment, from the outside, whether it keeps its promises.")
@click.argument("url")
@click.option("--email", default="", help="Log in as this person and go the whole way to a dead API token.")
@click.option("--password-stdin", is_flag=True, help="Read that person's password from standard input.")
def command(url: str, email: str, password_stdin: bool) -> None:
    from infra.aws.smoke import Smoke, SmokeFailed
    from infra.demo.client import Client

    password = ""
    if email:
        password = sys.stdin.readline().rstrip("\n") if password_stdin else click.prompt("Password", hide_input=True)
    try:
        Smoke(Client(url), lambda text: click.echo(f"  {text}")).run(email, password)
    except SmokeFailed as exc:
        click.echo(f"sluice smoke: {exc}", err=True)
        sys.exit(1)
    click.echo("All is as promised.")
