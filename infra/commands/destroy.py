"""`sluice destroy`."""

import subprocess

import click

from infra.commands.ending import end


@click.command("destroy", help="Delete a deployment. The tables and keys stay, unless --delete-data is given.")
@click.option("--stack", default="sluice", show_default=True)
@click.option("--table-prefix", default="sluice-", show_default=True)
@click.option("--path", default="/sluice", show_default=True, help="The template's KeyPath.")
@click.option("--delete-data", default="", metavar="STACK", help="Repeat the stack's name to delete its data, too.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def command(stack: str, table_prefix: str, path: str, delete_data: str, yes: bool) -> None:
    """Exit status: 1 refused, or `sam delete` failed; 2 AWS does not answer or denies access."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.aws import destroying

    if delete_data and delete_data != stack:
        end(1, f"--delete-data {delete_data} is not the stack's name, {stack}. Nothing was deleted.")
    if delete_data:
        click.echo(f"The stack {stack} will be deleted, with every account, API token, ledger record and key.")
    else:
        click.echo("\n".join(destroying.what_stays(stack, table_prefix, path)))
    if not yes:
        click.confirm("Go on?", abort=True)
    bucket = destroying.documents_bucket(boto3.client, stack) if delete_data else ""
    status = subprocess.run(["sam", "delete", "--stack-name", stack, "--no-prompts"]).returncode
    if status:
        end(1, f"sam delete failed with exit status {status}; see its output above. No data was deleted.")
    if delete_data:

        def say(text: str) -> None:
            click.echo(f"sluice: {text}")

        try:
            destroying.delete_data_stack(boto3.client, stack, say)
            if bucket:
                destroying.delete_bucket(boto3.client, bucket, say)
            destroying.delete_data(boto3.client, table_prefix, path, say)
        except (BotoCoreError, ClientError) as exc:
            end(2, f"AWS: {exc}")
