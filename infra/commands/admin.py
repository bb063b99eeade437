"""`sluice admin create EMAIL`."""

import sys

import click

from infra.commands.operator import administration, as_json, fields, now_ms, show, store
from sluice.domain.accounts import Account


@click.group("admin", help="Make the first admin.")
def command() -> None:
    pass


@command.command("create")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password of a new account from standard input.")
@as_json
def create(email: str, password_stdin: bool, as_json: bool) -> None:
    """Make EMAIL an admin: the account of that address, or a new one, whose password is asked for."""
    from sluice import wiring
    from sluice.http.models_admin import UserRow
    from sluice.services.create_admin import known_account

    with store():
        account = known_account(email, wiring.account_store())
        if account is None:
            account = _new(email, _password(password_stdin))
        changed = administration().set_role(account.account_id, "admin", now_ms())
        shown = UserRow.row(changed).model_dump()
        show(shown, as_json, lambda: fields(shown))


def _new(email: str, password: str) -> Account:
    from sluice import settings, wiring
    from sluice.adapters.passwords import common_passwords
    from sluice.domain.admission import Limits
    from sluice.services.create_admin import create_verified

    wanted = settings.accounts()
    return create_verified(
        email,
        password,
        accounts=wiring.account_store(),
        hash_password=wiring.password_hashes().hash,
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
