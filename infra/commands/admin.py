"""`sluice admin create EMAIL`."""

import click

from infra.commands.ending import read_password
from infra.commands.operator import BY_COMMAND, as_json, fields, now_ms, show, store

command = click.Group("admin", help="Make the first admin.")


@command.command("create")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password of a new account from standard input.")
@as_json
def create(email: str, password_stdin: bool, as_json: bool) -> None:
    """Make EMAIL an admin. If there is no such account it is created, and its password is asked for."""
    from sluice.http.operations import UserRow
    from sluice.wiring.operations import administration, first_admin

    with store():
        account = first_admin().known(email, now_ms())
        if account is None:
            password = read_password(password_stdin, "Password of the new account", confirm=True)
            account = first_admin().create(email, password, now_ms())
        changed = administration().set_role(BY_COMMAND, account.account_id, "admin", now_ms())
        shown = UserRow.of(changed).model_dump()
        show(shown, as_json, lambda: fields(shown))
