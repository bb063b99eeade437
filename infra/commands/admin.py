"""`sluice admin create EMAIL`."""

import sys

import click

from infra.commands.operator import administration, as_json, fields, now_ms, show, store
from sluice.domain.accounts.account import Account


@click.group("admin", help="Make the first admin.")
def command() -> None:
    pass


@command.command("create")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password of a new account from standard input.")
@as_json
def create(email: str, password_stdin: bool, as_json: bool) -> None:
    """Make EMAIL an admin: the account of that address, or a new one, whose password is asked for."""
    from sluice.http.operations import UserRow
    from sluice.services.operations.create_admin import known_account
    from sluice.wiring import stores

    with store():
        account = known_account(email, stores.account_store())
        if account is None:
            account = _new(email, _password(password_stdin))
        changed = administration().set_role(account.account_id, "admin", now_ms())
        shown = UserRow.row(changed).model_dump()
        show(shown, as_json, lambda: fields(shown))


def _new(email: str, password: str) -> Account:
    from sluice import settings
    from sluice.adapters.accounts.passwords import common_passwords
    from sluice.domain.gateway.admission import Limits
    from sluice.services.operations.create_admin import create_verified
    from sluice.wiring import peers, stores

    wanted = settings.accounts()
    return create_verified(
        email,
        password,
        accounts=stores.account_store(),
        hash_password=peers.password_hashes().hash,
        common_passwords=common_passwords(),
        limits=Limits(
            wanted.default_rpm, wanted.default_tpm, wanted.default_concurrency, wanted.default_monthly_tokens
        ),
        now_ms=now_ms(),
    )


def _password(from_stdin: bool) -> str:
    """Never an argument: those are for every user of the machine to see."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password of the new account", hide_input=True, confirmation_prompt=True, err=True))
