"""`sluice admin create EMAIL`."""

import sys

import click

from infra.commands.operator import BY_COMMAND, as_json, fields, now_ms, show, store


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
    from sluice.wiring.operations import administration, first_admin

    with store():
        account = first_admin().known(email)
        if account is None:
            account = first_admin().create(email, _password(password_stdin), now_ms())
        changed = administration().set_role(BY_COMMAND, account.account_id, "admin", now_ms())
        shown = UserRow.row(changed).model_dump()
        show(shown, as_json, lambda: fields(shown))


def _password(from_stdin: bool) -> str:
    """Never an argument: those are for every user of the machine to see."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password of the new account", hide_input=True, confirmation_prompt=True, err=True))
