"""`sluice keys init|list|rotate|retire --aws`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from infra.aws.keys import ParameterKeys

REFUSED, NO_SSM = 1, 2
ON_ONE_MACHINE = (
    "On one machine `make up` makes the keys, in the data directory. For a deployment: --aws, with the region and the "
    "credentials in the environment."
)


@click.group("keys", help="Make and change the signing keys of a deployment, in SSM.")
def command() -> None:
    pass


aws = click.option("--aws", "on_aws", is_flag=True, help="In the Parameter Store of this region.")
path = click.option("--path", default="/sluice", show_default=True, help="The template's KeyPath.")


@command.command("init")
@aws
@path
@click.option("--kms-key", default="", help="A key of your own for the SecureStrings; default: the account's for SSM.")
def init(on_aws: bool, path: str, kms_key: str) -> None:
    """Make the keys that are missing. One that is there is never overwritten: run it as often as you like."""
    with _keys(on_aws, path, kms_key) as keys:
        for name in keys.init():
            click.echo(f"made {name}")
        if not keys.made:
            click.echo("All keys are there already; nothing was changed.")


@command.command("list")
@aws
@path
def show(on_aws: bool, path: str) -> None:
    """The ids of the public keys, and which one signs."""
    with _keys(on_aws, path) as keys:
        now = keys.public()
        for kid in now.kids:
            click.echo(kid + {now.signing: "  signs", now.coming: "  signs next"}.get(kid, "  verifies only"))


@command.command("rotate")
@aws
@path
@click.option("--finish", is_flag=True, help="The second step: sign with the new key from now on.")
def rotate(on_aws: bool, path: str, finish: bool) -> None:
    """Change the key that signs API tokens, in two steps; no token dies by it."""
    with _keys(on_aws, path) as keys:
        if finish:
            click.echo(f"{keys.finish_rotation()} signs every API token from the functions' next start on.")
            click.echo("The old one still verifies. A year later, when its last API token is gone: sluice keys retire")
            return
        click.echo(f"{keys.rotate()} is published, and signs nothing yet.")
        click.echo(
            "The functions read it at their start. After the next deployment, or in a day: "
            "sluice keys rotate --aws --finish"
        )


@command.command("retire")
@aws
@path
@click.argument("kid")
@click.confirmation_option(prompt="Every API token that this key signed will be refused. Go on?")
def retire(on_aws: bool, path: str, kid: str) -> None:
    """Take the public key KID away."""
    with _keys(on_aws, path) as keys:
        keys.retire(kid)
        click.echo(f"{kid} verifies nothing any more, from the functions' next start on.")


@contextmanager
def _keys(on_aws: bool, path: str, kms_key: str = "") -> "Iterator[ParameterKeys]":
    """Exit status: 1 refused, 2 SSM does not answer or does not let us in."""
    if not on_aws:
        _end(REFUSED, ON_ONE_MACHINE)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.aws.keys import KeysRefused, ParameterKeys

    try:
        yield ParameterKeys(boto3.client("ssm"), path.rstrip("/"), kms_key)
    except (KeysRefused, ValueError) as exc:
        _end(REFUSED, str(exc))
    except (BotoCoreError, ClientError) as exc:
        _end(NO_SSM, f"the Parameter Store cannot be used: {exc}")


def _end(status: int, message: str) -> None:
    click.echo(f"sluice: {message}", err=True)
    sys.exit(status)
