"""`sluice keys init|list|rotate|retire --aws`, `sluice keys dkim`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from infra.commands.ending import end
from infra.place import UP
from sluice.domain.errors import SluiceError

if TYPE_CHECKING:
    from infra.aws.keys import ParameterKeys

REFUSED, NO_SSM = 1, 2
ON_ONE_MACHINE = (
    f"On one machine `{UP}` makes the keys in the data directory. For a deployment add --aws, with the region and "
    "the credentials in the environment. Its keys are in the Parameter Store."
)


command = click.Group("keys", help="Make and rotate the signing keys of a deployment, in SSM; make one for mails.")


aws = click.option("--aws", "on_aws", is_flag=True, help="In the Parameter Store of this region.")
path = click.option("--path", default="/sluice", show_default=True, help="The template's KeyPath.")


@command.command("init")
@aws
@path
@click.option(
    "--kms-key", default="", help="Your own KMS key for the SecureStrings; default: the account's key for SSM."
)
def init(on_aws: bool, path: str, kms_key: str) -> None:
    """Make the keys that are missing. Existing keys are never overwritten, so it can be repeated."""
    with _keys(on_aws, path, kms_key) as keys:
        for name in keys.init():
            click.echo(f"made {name}")
        if not keys.made:
            click.echo("All keys exist already; nothing was changed.")


@command.command("list")
@aws
@path
def show(on_aws: bool, path: str) -> None:
    """List the ids of the public keys, and which one signs."""
    with _keys(on_aws, path) as keys:
        now = keys.public()
        for kid in now.kids:
            click.echo(kid + {now.signing: "  signs", now.coming: "  signs next"}.get(kid, "  verifies only"))


@command.command("rotate")
@aws
@path
@click.option("--finish", is_flag=True, help="The second step: sign with the new key.")
def rotate(on_aws: bool, path: str, finish: bool) -> None:
    """Change the key that signs API tokens, in two steps. Existing tokens stay valid."""
    with _keys(on_aws, path) as keys:
        if finish:
            click.echo(f"{keys.finish_rotation()} signs every API token after the functions' next start.")
            click.echo(
                "The old key still verifies. In a year, when its last API token has expired, run: sluice keys retire"
            )
            return
        click.echo(f"{keys.rotate()} is published. It does not sign yet.")
        click.echo(
            "The functions read it at their start. After the next deployment, or in a day, run: "
            "sluice keys rotate --aws --finish"
        )


@command.command("retire", context_settings={"ignore_unknown_options": True})  # one id in 64 begins with a hyphen
@aws
@path
@click.argument("kid")
@click.confirmation_option(prompt="Every API token that this key signed will be refused. Continue?")
def retire(on_aws: bool, path: str, kid: str) -> None:
    """Remove the public key KID."""
    with _keys(on_aws, path) as keys:
        keys.retire(kid)
        click.echo(f"{kid} is removed. The functions stop accepting it at their next start.")


@command.command("dkim")
@click.argument("selector", default="sluice")
def dkim(selector: str) -> None:
    """Make the key that signs mails of this machine, and print its DNS record. An existing key stays."""
    from infra.local.config import data_dir
    from sluice import settings
    from sluice.adapters.mails.message import sender_of
    from sluice.adapters.mails.signing import key_file, make_key, public_key

    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", selector):
        end(REFUSED, "a selector has letters, digits and hyphens only")
    file = key_file(data_dir(), selector)
    try:
        domain = sender_of(settings.mailer().mail_from).domain
        made = make_key(file)
        value = f"v=DKIM1; k=rsa; p={public_key(file)}"
    except (OSError, ValueError, SluiceError) as exc:
        end(REFUSED, f"no key: {exc}")
    click.echo(f"{'made' if made else 'kept'} {file}", err=True)
    click.echo(f"{selector}._domainkey.{domain} TXT\n{value}")
    click.echo(
        f"Once `sluice doctor mail --selector {selector}` finds it, set SLUICE_DKIM_SELECTOR={selector}", err=True
    )


@contextmanager
def _keys(on_aws: bool, path: str, kms_key: str = "") -> "Iterator[ParameterKeys]":
    """Exit status: 1 refused, 2 SSM does not answer or denies access."""
    if not on_aws:
        end(REFUSED, ON_ONE_MACHINE)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.aws.keys import KeysRefused, ParameterKeys

    try:
        yield ParameterKeys(boto3.client("ssm"), path.rstrip("/"), kms_key)
    except (KeysRefused, ValueError) as exc:
        end(REFUSED, str(exc))
    except (BotoCoreError, ClientError) as exc:
        end(NO_SSM, f"the Parameter Store cannot be used: {exc}")
