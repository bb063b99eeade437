"""`sluice prove`, which `make prove-aws` runs."""

import sys

import click

from infra.commands.ending import read_password


@click.command("prove", help="Check on a deployment what only a real account can show, and print a table to send in.")
@click.option("--stack", default="sluice", show_default=True)
@click.option("--email", required=True, help="An admin of the deployment.")
@click.option("--password-stdin", is_flag=True, help="Read that person's password from standard input.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this check; may be repeated. `again` runs only so.")
def command(stack: str, email: str, password_stdin: bool, only: tuple[str, ...]) -> None:
    """Exit status: 1 a check failed."""
    import boto3

    from infra.aws.proving import CHECKS, prove
    from infra.aws.proving.account import Account

    if unknown := set(only) - CHECKS.keys():
        raise click.BadParameter(
            f"there is no {', '.join(unknown)}; there are {', '.join(CHECKS)}", param_hint="--only"
        )
    account = Account(boto3.client, stack, email, read_password(password_stdin, "Password"))
    click.echo("| check | result | seen | seconds |\n| --- | --- | --- | --- |")
    failed = False
    for row in prove(account, only):
        click.echo(f"| {row.name} | {row.result} | {row.seen} | {row.seconds:.1f} |")
        failed |= row.result == "failed"
    sys.exit(failed)
