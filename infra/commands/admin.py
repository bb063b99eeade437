"""`sluice admin create EMAIL`."""

import click

from infra.commands.ending import read_password
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
    """Make EMAIL an admin. If there is no such account it is created, and its password is asked for."""
    from sluice.http.operations import UserRow
    from sluice.services.operations.create_admin import known_account
    from sluice.wiring import stores

    with store():
        account = known_account(email, stores.account_store())
        if account is None:
            account = _new(email, read_password(password_stdin, "Password of the new account", confirm=True))
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
