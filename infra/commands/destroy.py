"""`sluice destroy`."""

import subprocess
import sys

import click


@click.command("destroy", help="Take a deployment away. The tables and keys stay, unless --delete-data says otherwise.")
@click.option("--stack", default="sluice", show_default=True)
@click.option("--table-prefix", default="sluice-", show_default=True)
@click.option("--path", default="/sluice", show_default=True, help="The template's KeyPath.")
@click.option(
    "--delete-data", default="", metavar="STACK", help="The stack's name once more: delete its data for good."
)
@click.option("--yes", is_flag=True, help="Ask nothing.")
def command(stack: str, table_prefix: str, path: str, delete_data: str, yes: bool) -> None:
    """Exit status: 1 refused, or `sam delete` failed; 2 AWS does not answer."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.aws import destroying

    if delete_data and delete_data != stack:
        _end(1, f"--delete-data {delete_data} is not the stack's name, {stack}. Nothing was deleted.")
    if delete_data:
        click.echo(f"The stack {stack} goes, and with it every account, API token, ledger record and key, for good.")
    else:
        click.echo("\n".join(destroying.what_stays(stack, table_prefix, path)))
    if not yes:
        click.confirm("Go on?", abort=True)
    bucket = destroying.documents_bucket(boto3.client, stack) if delete_data else ""
    status = subprocess.run(["sam", "delete", "--stack-name", stack, "--no-prompts"]).returncode
    if status:
        _end(1, f"sam delete ended with {status}; what it printed says why. The data was not touched.")
    if delete_data:
        try:
            if bucket:
                destroying.delete_bucket(boto3.client, bucket, lambda text: click.echo(f"sluice: {text}"))
            destroying.delete_data(boto3.client, table_prefix, path, lambda text: click.echo(f"sluice: {text}"))
        except (BotoCoreError, ClientError) as exc:
            _end(2, f"AWS: {exc}")


def _end(status: int, message: str) -> None:
    click.echo(f"sluice: {message}", err=True)
    sys.exit(status)
